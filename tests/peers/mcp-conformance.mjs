// Runs the server scenarios of MCP's conformance suite, and prints what their checks said as one line of JSON:
// {"<scenario>": [{"id", "status", "message"}]}. The suite cannot show a bearer token; a proxy in here does.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, request as send } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { args, fail, print } from "./common.mjs";

const options = args(
  { url: { type: "string" }, token: { type: "string" }, revision: { type: "string" } },
  ["url", "token", "revision"],
);
const server = new URL(options.url);

/** Hands a request on as it is, with the token, and under the server's port where it names the proxy's. */
function forward(incoming, outgoing) {
  const headers = { ...incoming.headers, authorization: `Bearer ${options.token}` };
  for (const name of ["host", "origin"]) {
    if (headers[name]) headers[name] = headers[name].replace(`:${proxy.address().port}`, `:${server.port}`);
  }
  const { method, url: path } = incoming;
  const onward = send({ host: server.hostname, port: server.port, method, path, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode, answer.headers);
    outgoing.flushHeaders();
    answer.pipe(outgoing);
  });
  onward.on("error", () => outgoing.destroy());
  outgoing.on("close", () => onward.destroy());
  incoming.pipe(onward);
}

const file = (path) => fileURLToPath(new URL(path, import.meta.url));

/** Runs the suite; whether it could. It ends with 1 where a check failed. */
function run(url, results) {
  const suite = file("node_modules/@modelcontextprotocol/conformance/dist/index.js");
  const scenarios = ["--suite", "all", "--spec-version", options.revision];
  const given = ["--import", file("mcp-conformance-setting.mjs"), suite, "server", "--url", url, ...scenarios, "-o", results];
  const child = spawn(process.execPath, given, { stdio: ["ignore", "ignore", "inherit"] });
  return new Promise((done) => child.on("exit", (code) => done(code === 0 || code === 1)));
}

/** Each scenario has a folder: `server-<scenario>-<time>`. */
function checks(results) {
  const said = {};
  for (const folder of readdirSync(results)) {
    const scenario = /^server-(.+)-\d{4}-\d\d-\d\dT/.exec(folder)[1];
    const all = JSON.parse(readFileSync(join(results, folder, "checks.json"), "utf8"));
    said[scenario] = all.map(({ id, status, errorMessage }) => ({ id, status, message: errorMessage }));
  }
  return said;
}

const proxy = createServer(forward);
proxy.listen(0, "127.0.0.1", async () => {
  const results = mkdtempSync(join(tmpdir(), "farthing-conformance-"));
  try {
    if (!(await run(`http://127.0.0.1:${proxy.address().port}${server.pathname}`, results))) fail("the suite did not run", 1);
    print(checks(results));
  } finally {
    rmSync(results, { recursive: true });
  }
  process.exit(0);
});
