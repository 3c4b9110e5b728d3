// What the peer programs share: arguments, one line of JSON on stdout, a body that ends somewhere.
import { parseArgs } from "node:util";

const BODY_LIMIT_BYTES = 1 << 20;

/** Parses `--name value` options; those of `required` must be there, unknown ones are errors. */
export function args(options, required) {
  try {
    const { values } = parseArgs({ options, strict: true });
    for (const name of required) {
      if (values[name] === undefined) throw new Error(`--${name} is missing`);
    }
    return values;
  } catch (error) {
    fail(error.message);
  }
}

export function fail(message, code = 2) {
  process.stderr.write(`${message}\n`);
  process.exit(code);
}

export const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Listens on 127.0.0.1, says so on stdout, stops on SIGTERM and SIGINT. */
export function ready(server, port, more = {}) {
  server.listen(Number(port), "127.0.0.1", () => print({ ready: true, port: server.address().port, ...more }));
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => process.exit(0));
}

export async function readJson(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY_LIMIT_BYTES) throw new Error("body too large");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

export const prefixed = (hex) => (hex.startsWith("0x") ? hex : `0x${hex}`);
