// A client of an MCP server on the official TypeScript SDK, version 1 or 2, that does what it is told. Each line on stdin is
// a task as JSON; each line on stdout says what came of it. tests/python/mcp_client.py does the same on the Python SDK.
import { createInterface } from "node:readline";
import { args, print } from "./common.mjs";

const options = args(
  {
    sdk: { type: "string" },
    // Asks for the newest revision of MCP first; without it, the one is taken that `initialize` agrees upon.
    newest: { type: "boolean", default: false },
    url: { type: "string" },
    token: { type: "string" },
    command: { type: "string" },
    // The user of a client that cannot show questions.
    mute: { type: "boolean", default: false },
  },
  ["sdk"],
);

/** What the user says to the next question, and the questions so far. */
const user = { says: { action: "cancel" }, asked: [] };
const answer = async (question) => {
  user.asked.push(question.params);
  return user.says;
};

const { Client, StreamableHTTPClientTransport, StdioClientTransport, ask } = await sdk(Number(options.sdk));
const client = new Client(
  { name: "farthing-peers", version: "1.0.0" },
  {
    capabilities: options.mute ? {} : { elicitation: { form: {} } },
    ...(options.sdk === "2" && {
      versionNegotiation: { mode: options.newest ? "auto" : "legacy" },
    }),
  },
);
if (!options.mute) ask(client);
client.onerror = (error) => {
  // What comes in one piece with the answer is read after it; that is the SDK's own doing.
  if (!error.message.includes("progress notification for an unknown token")) process.stderr.write(`${error.stack}\n`);
};
const line = transport();
await client.connect(line);
// The SDK forgets who wants progress as soon as the answer is read, and reads the progress after it if both come in one piece.
let heard;
const read = line.onmessage;
line.onmessage = (message, extra) => {
  if (message.method === "notifications/progress") heard?.(message.params);
  read(message, extra);
};

async function sdk(version) {
  if (version === 1) {
    const [{ Client }, http, stdio, { ElicitRequestSchema }] = await Promise.all([
      import("@modelcontextprotocol/sdk/client/index.js"),
      import("@modelcontextprotocol/sdk/client/streamableHttp.js"),
      import("@modelcontextprotocol/sdk/client/stdio.js"),
      import("@modelcontextprotocol/sdk/types.js"),
    ]);
    return { Client, ...http, ...stdio, ask: (client) => client.setRequestHandler(ElicitRequestSchema, answer) };
  }
  const [all, stdio] = await Promise.all([
    import("@modelcontextprotocol/client"),
    import("@modelcontextprotocol/client/stdio"),
  ]);
  return { ...all, ...stdio, ask: (client) => client.setRequestHandler("elicitation/create", answer) };
}

function transport() {
  if (options.url) {
    const headers = { authorization: `Bearer ${options.token}` };
    return new StreamableHTTPClientTransport(new URL(options.url), { requestInit: { headers } });
  }
  const pipes = new StdioClientTransport({ command: options.command, args: ["mcp"], env: process.env });
  // Version 1 tells the negotiated revision to its transport alone.
  pipes.setProtocolVersion = (revision) => (pipes.protocolVersion = revision);
  return pipes;
}

/** Calls a tool. `cancel_at`: breaks off when the progress says so. The SDK holds the result against the output schema. */
async function call({ name, arguments: given, cancel_at }) {
  const progress = [];
  const breaking = new AbortController();
  heard = (told) => progress.push(told);
  const onprogress = (told) => {
    if (cancel_at && told.message?.includes(cancel_at)) breaking.abort("enough");
  };
  const params = { name, arguments: given };
  const settings = { onprogress, signal: breaking.signal };
  const result = options.sdk === "1" ? await client.callTool(params, undefined, settings) : await client.callTool(params, settings);
  return { ...result, progress };
}

const tasks = {
  hello: async () => ({
    revision: options.sdk === "1" ? client.transport.protocolVersion : client.getNegotiatedProtocolVersion(),
    server: client.getServerVersion(),
    capabilities: client.getServerCapabilities(),
    instructions: client.getInstructions(),
  }),
  tools: () => client.listTools(),
  call,
  resources: () => client.listResources(),
  templates: () => client.listResourceTemplates(),
  read: ({ uri }) => client.readResource({ uri }),
  prompts: () => client.listPrompts(),
  prompt: ({ name, arguments: given }) => client.getPrompt({ name, arguments: given }),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { task, user_says, ...given } = JSON.parse(line);
  user.says = user_says ?? { action: "cancel" };
  user.asked = [];
  try {
    print({ ...(await tasks[task](given)), asked: user.asked });
  } catch (error) {
    print({ error: { message: String(error?.message ?? error), code: error?.code, data: error?.data }, asked: user.asked });
  }
}
// Version 1 complains about streams that it closes itself, and goes on for seconds to reconnect to those that ended with an
// error's answer, which it does not take for one.
client.onerror = undefined;
await client.transport.terminateSession?.();
await client.close();
process.exit(0);
