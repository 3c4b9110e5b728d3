// Regenerates tests/golden/*.json from the pinned npm packages. `--check` writes nothing and fails if a file differs.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// The packages warn on stderr about every refused header; the golden files already say so.
console.warn = () => {};
console.error = () => {};
console.log = () => {};

const { headers } = await import("./golden/headers.mjs");
const { exactEvm } = await import("./golden/exact-evm.mjs");
const { matching } = await import("./golden/matching.mjs");
const { verify } = await import("./golden/verify.mjs");
const { facilitator } = await import("./golden/facilitator.mjs");
const { express } = await import("./golden/express.mjs");
const { discovery } = await import("./golden/discovery.mjs");

const FILES = { headers, exact_evm: exactEvm, matching, verify, facilitator, express, discovery };
const folder = join(dirname(fileURLToPath(import.meta.url)), "..", "golden");
const check = process.argv.includes("--check");
const say = (line) => process.stdout.write(`${line}\n`);

function onDisk(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function firstDifference(old, made) {
  const [was, is] = [old.split("\n"), made.split("\n")];
  const line = is.findIndex((text, i) => text !== was[i]);
  return `line ${line + 1}: on disk ${JSON.stringify(was[line] ?? "(nothing)")}, made ${JSON.stringify(is[line] ?? "(nothing)")}`;
}

let differing = 0;
mkdirSync(folder, { recursive: true });
for (const [name, make] of Object.entries(FILES)) {
  const path = join(folder, `${name}.json`);
  const text = `${JSON.stringify(await make(), null, 2)}\n`;
  const old = onDisk(path);
  if (old === text) {
    say(`same    ${name}.json`);
  } else if (check) {
    differing += 1;
    say(`differs ${name}.json: ${firstDifference(old, text)}`);
  } else {
    writeFileSync(path, text);
    say(`wrote   ${name}.json`);
  }
}
process.exit(differing === 0 ? 0 : 1);
