// The setting in which the conformance suite runs here.
import * as fs from "node:fs";
import { register } from "node:module";

// It gives a server 800 ms for a first event, which a busy machine may need to get to it: its clocks run four times as slowly.
const timer = setTimeout;
globalThis.setTimeout = (work, ms, ...given) => timer(work, ms * 4, ...given);

// It imports `globSync` of `fs`, which Node has since version 22, for chores other than scenarios. On Node 20 the import alone
// would end it; here it gets one that fails when it is called.
const module = (text) => `data:text/javascript,${encodeURIComponent(text)}`;

if (!fs.globSync) {
  const patched = module(`
    export * from "node:fs";
    export { default } from "node:fs";
    export const globSync = () => { throw new Error("globSync: Node 22 or newer is needed"); };
  `);
  register(module(`
    export const resolve = (name, context, next) =>
      name === "fs" ? { url: ${JSON.stringify(patched)}, shortCircuit: true } : next(name, context);
  `));
}
