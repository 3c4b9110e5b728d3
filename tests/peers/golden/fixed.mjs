// The world in which every golden file is made: one payer, one payee, one moment, and nonces that follow from a case's name.
import { createRequire } from "node:module";
import { keccak256, stringToHex, hexToBytes } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const require = createRequire(import.meta.url);
const manifest = require("../package.json");

/** anvil's account 1. Public knowledge; never fund it. */
export const PAYER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
export const payer = privateKeyToAccount(PAYER_KEY);
/** anvil's account 2, and a stranger who signs for nobody. */
export const PAYEE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
export const OTHER = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
/** anvil's account 0 plays the facilitator. */
export const FACILITATOR = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/** 2026-01-01T00:00:00Z */
export const NOW = 1767225600;

export const CHAINS = [
  {
    network: "eip155:8453",
    v1: "base",
    chainId: 8453,
    asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
    extra: { name: "USD Coin", version: "2" },
  },
  {
    network: "eip155:84532",
    v1: "base-sepolia",
    chainId: 84532,
    asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    extra: { name: "USDC", version: "2" },
  },
];

/** The nonce that a case of this name signs. */
export const nonceOf = (name) => keccak256(stringToHex(name));

/** Runs `work` at NOW, with randomness that follows from `name`. */
export async function fixed(name, work) {
  const real = { now: Date.now, random: globalThis.crypto.getRandomValues };
  Date.now = () => NOW * 1000;
  globalThis.crypto.getRandomValues = (array) => {
    const bytes = hexToBytes(nonceOf(name));
    const view = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let i = 0; i < view.length; i++) view[i] = bytes[i % bytes.length];
    return array;
  };
  try {
    return await work();
  } finally {
    Date.now = real.now;
    globalThis.crypto.getRandomValues = real.random;
  }
}

/** What `work` returned, or what it threw. V8's own wording is left out: it changes with Node. */
export async function outcome(work) {
  try {
    return { value: await work() };
  } catch (error) {
    return { throws: describe(error) };
  }
}

export function describe(error) {
  const wordsOfV8 = error instanceof SyntaxError || error instanceof TypeError || error instanceof DOMException;
  const { statusCode, invalidReason, invalidMessage, errorReason, errorMessage, payer, transaction, network } = error;
  return {
    name: error.name,
    ...(wordsOfV8 ? {} : { message: error.message.split("\n")[0] }),
    ...clean({ statusCode, invalidReason, invalidMessage, errorReason, errorMessage, payer, transaction, network }),
  };
}

const clean = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

/** The packages whose answers the golden files hold; MCP's clients stand beside them for other tests. */
const sources = Object.entries(manifest.dependencies).filter(([name]) => !name.startsWith("@modelcontextprotocol/"));

/** A golden file: what it is, what made it, and its tables. */
export const file = (about, tables) => ({
  about,
  madeBy: "tests/peers/golden.mjs",
  packages: Object.fromEntries(sources),
  now: NOW,
  ...tables,
});

export function requirementsV2(chain, changes = {}) {
  return {
    scheme: "exact",
    network: chain.network,
    amount: "10000",
    asset: chain.asset,
    payTo: PAYEE,
    maxTimeoutSeconds: 300,
    extra: { ...chain.extra },
    ...changes,
  };
}

export function requirementsV1(chain, changes = {}) {
  return {
    scheme: "exact",
    network: chain.v1,
    maxAmountRequired: "10000",
    resource: "https://api.example.com/weather",
    description: "The weather",
    mimeType: "application/json",
    payTo: PAYEE,
    maxTimeoutSeconds: 300,
    asset: chain.asset,
    extra: { ...chain.extra },
    ...changes,
  };
}

export const RESOURCE = {
  url: "https://api.example.com/weather",
  description: "The weather",
  mimeType: "application/json",
};
