// What @x402/core's HTTPFacilitatorClient sends to a facilitator, and what it makes of the answers.
import { HTTPFacilitatorClient } from "@x402/core/http";
import { x402ResourceServer } from "@x402/core/server";
import { x402Facilitator } from "@x402/core/facilitator";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { registerExactEvmScheme } from "@x402/evm/exact/facilitator";
import { CHAINS, file, outcome, payer, requirementsV1, requirementsV2 } from "./fixed.mjs";
import { pay, requiredV1, requiredV2 } from "./client.mjs";
import { scripted } from "./local.mjs";
import { stubSigner } from "./stub-chain.mjs";

const SEPOLIA = CHAINS[1];
const TX = "0x3333333333333333333333333333333333333333333333333333333333333333";
const KIND = { x402Version: 2, scheme: "exact", network: SEPOLIA.network };

export async function facilitator() {
  const payments = await paymentsOf();
  return file("The facilitator's HTTP interface as @x402/core's client speaks it", {
    requests: await requestCases(payments),
    verify_answers: await answerCases("verify", payments.v2, verifyAnswers()),
    settle_answers: await answerCases("settle", payments.v2, settleAnswers()),
    supported_answers: await supportedCases(),
    pending: await pendingCases(payments),
    supported_of_the_reference: await referenceSupported(),
  });
}

async function paymentsOf() {
  const [v2, v1] = [requirementsV2(SEPOLIA), requirementsV1(SEPOLIA)];
  const nullish = requirementsV2(SEPOLIA, { extra: { ...SEPOLIA.extra, memo: null } });
  return {
    v2: { payment: await pay("facilitator v2", requiredV2([v2])), requirements: v2 },
    v1: { payment: await pay("facilitator v1", requiredV1([v1])), requirements: v1 },
    "v2 with nulls and extensions": {
      payment: await pay("facilitator null", requiredV2([nullish], { extensions: { e: { info: null } } })),
      requirements: nullish,
    },
  };
}

async function requestCases(payments) {
  const cases = [];
  const answers = {
    "/verify": { body: JSON.stringify({ isValid: true, payer: payer.address }) },
    "/settle": { body: JSON.stringify({ success: true, transaction: TX, network: SEPOLIA.network }) },
    "/supported": { body: JSON.stringify({ kinds: [KIND], extensions: [], signers: {} }) },
  };
  const authorize = async () => ({ verify: { Authorization: "Bearer v" }, settle: { Authorization: "Bearer s" }, supported: {} });
  for (const [name, { payment, requirements }] of Object.entries(payments)) {
    const server = await scripted(answers);
    const client = new HTTPFacilitatorClient({ url: `${server.url}//` });
    await client.verify(payment, requirements);
    await client.settle(payment, requirements);
    cases.push(...server.asked.map((request) => ({ name: `${name} ${request.path}`, request, json: JSON.parse(request.body) })));
    await server.stop();
  }
  const server = await scripted(answers);
  await new HTTPFacilitatorClient({ url: server.url }).getSupported();
  await new HTTPFacilitatorClient({ url: server.url, createAuthHeaders: authorize }).verify(payments.v2.payment, payments.v2.requirements);
  cases.push({ name: "supported", request: server.asked[0] }, { name: "v2 /verify with a key", request: server.asked[1] });
  await server.stop();
  return cases;
}

async function answerCases(method, { payment, requirements }, answers) {
  const cases = [];
  for (const [name, answer] of Object.entries(answers)) {
    const server = await scripted({ [`/${method}`]: answer });
    const client = new HTTPFacilitatorClient({ url: server.url });
    const result = await outcome(() => client[method](payment, requirements));
    cases.push({ name, answer: { status: 200, ...answer }, result: JSON.parse(JSON.stringify(result)) });
    await server.stop();
  }
  return cases;
}

const json = (value, status = 200, headers) => ({ status, ...(headers && { headers }), body: JSON.stringify(value) });
const EXTENSION_RESPONSES = { "EXTENSION-RESPONSES": Buffer.from(JSON.stringify({ bazaar: { status: "success" } })).toString("base64") };

const verifyAnswers = () => ({
  valid: json({ isValid: true, payer: payer.address }),
  "valid, nothing else": json({ isValid: true }),
  invalid: json({ isValid: false, invalidReason: "invalid_exact_evm_signature", invalidMessage: "bad", payer: payer.address }),
  "invalid without reason": json({ isValid: false }),
  "null optionals": json({ isValid: true, invalidReason: null, invalidMessage: null, payer: null, extensions: null, extra: null }),
  "unknown keys are dropped": json({ isValid: true, later: 1, extra: { kept: true } }),
  "isValid as text": json({ isValid: "true" }),
  "isValid missing": json({}),
  "payer as a number": json({ isValid: true, payer: 1 }),
  "not JSON": { body: "<html>oops</html>" },
  "empty body": { body: "" },
  "400 with isValid": json({ isValid: false, invalidReason: "invalid_payload", invalidMessage: "no signature", payer: payer.address }, 400),
  "400 with isValid true": json({ isValid: true }, 400),
  "400 with an error": json({ error: "bad request" }, 400),
  "401 without JSON": { status: 401, body: "unauthorized" },
  "402 with isValid": json({ isValid: false, invalidReason: "insufficient_funds" }, 402),
  "500 with an error": json({ error: "boom" }, 500),
  "503 empty": { status: 503, body: "" },
  "201": json({ isValid: true }, 201),
  "content-type text/plain": { headers: { "content-type": "text/plain" }, body: '{"isValid":true}' },
  "EXTENSION-RESPONSES header": json({ isValid: true }, 200, EXTENSION_RESPONSES),
});

const settled = (changes = {}) => ({ success: true, payer: payer.address, transaction: TX, network: SEPOLIA.network, ...changes });
const pending = (changes = {}) => settled({ success: false, errorReason: "settlement_pending", errorMessage: "timed out", ...changes });

const settleAnswers = () => ({
  settled: json(settled()),
  "settled with amount": json(settled({ amount: "10000" })),
  "null optionals": json(settled({ errorReason: null, errorMessage: null, payer: null, amount: null, extensions: null, extra: null })),
  "unknown keys are dropped": json(settled({ later: 1, extra: { kept: true } })),
  refused: json(settled({ success: false, errorReason: "invalid_exact_evm_transaction_failed", transaction: "" })),
  "transaction missing": json({ success: true, network: SEPOLIA.network }),
  "transaction null": json(settled({ transaction: null })),
  "transaction empty": json(settled({ transaction: "" })),
  "network missing": json({ success: true, transaction: TX }),
  "network by its v1 name": json(settled({ network: SEPOLIA.v1 })),
  pending: json(pending()),
  "400 refused": json(settled({ success: false, errorReason: "invalid_payload", errorMessage: "why", transaction: "" }), 400),
  "400 with an error": json({ error: "bad request" }, 400),
  "500 pending": json(pending(), 500),
  "502 without JSON": { status: 502, body: "Bad Gateway" },
  "not JSON": { body: "oops" },
  "EXTENSION-RESPONSES header": json(settled(), 200, EXTENSION_RESPONSES),
});

const supportedAnswers = () => ({
  full: json({ kinds: [{ ...KIND, extra: { a: 1 } }], extensions: ["bazaar"], signers: { "eip155:*": [payer.address] } }),
  "only kinds": json({ kinds: [KIND] }),
  "extra null": json({ kinds: [{ ...KIND, extra: null }] }),
  "no kinds": json({ extensions: [] }),
  "extensions null": json({ kinds: [KIND], extensions: null }),
  "x402Version as text": json({ kinds: [{ ...KIND, x402Version: "2" }] }),
  "404": { status: 404, body: "not here" },
});

async function supportedCases() {
  const cases = [];
  const busy = { status: 429, body: "busy" };
  const scripts = { ...supportedAnswers(), "429 twice, then good": [busy, { ...busy, headers: { "retry-after": "7" } }, json({ kinds: [KIND] })], "429 for ever": busy };
  for (const [name, script] of Object.entries(scripts)) {
    const server = await scripted({ "/supported": script });
    const { result, waits } = await withoutWaiting(() => outcome(() => new HTTPFacilitatorClient({ url: server.url }).getSupported()));
    cases.push({ name, answers: [].concat(script), requests: server.asked.length, waits_ms: waits, result: JSON.parse(JSON.stringify(result)) });
    await server.stop();
  }
  return cases;
}

const RETRY_WAITS_MS = [1000, 2000, 7000];

/** Runs `work` without its waits between retries, and lists them. Node's own fetch sets timers too: they are left alone. */
async function withoutWaiting(work) {
  const real = globalThis.setTimeout;
  const waits = [];
  globalThis.setTimeout = (run, ms, ...rest) => {
    if (!RETRY_WAITS_MS.includes(ms)) return real(run, ms, ...rest);
    waits.push(ms);
    return real(run, 0, ...rest);
  };
  try {
    return { result: await work(), waits };
  } finally {
    globalThis.setTimeout = real;
  }
}

/** settlement_pending, seen from the resource server: it asks a second time, once. */
async function pendingCases({ v2 }) {
  const scripts = {
    "pending, then settled": [json(pending()), json(settled())],
    "pending, then pending": [json(pending()), json(pending())],
    "pending, then refused": [json(pending()), json(settled({ success: false, errorReason: "invalid_exact_evm_transaction_failed" }))],
    "pending without a transaction: not asked again": [json(pending({ transaction: "" })), json(settled())],
    "pending with status 500, then settled": [json(pending(), 500), json(settled())],
    "refused: not asked again": [json(settled({ success: false, errorReason: "insufficient_funds", transaction: "" })), json(settled())],
    "500 without a reason: not asked again": [json({ error: "boom" }, 500), json(settled())],
  };
  const cases = [];
  for (const [name, script] of Object.entries(scripts)) {
    const server = await scripted({ "/supported": json({ kinds: [KIND] }), "/settle": script });
    const resource = new x402ResourceServer(new HTTPFacilitatorClient({ url: server.url })).register("eip155:*", new ExactEvmScheme());
    await resource.initialize();
    const result = await outcome(() => resource.settlePayment(v2.payment, v2.requirements));
    const bodies = server.asked.filter((request) => request.path === "/settle").map((request) => request.body);
    const same = bodies.every((body) => body === bodies[0]);
    cases.push({ name, answers: script, settle_requests: bodies.length, all_the_same: same, result: JSON.parse(JSON.stringify(result)) });
    await server.stop();
  }
  return cases;
}

async function referenceSupported() {
  const made = registerExactEvmScheme(new x402Facilitator(), { signer: stubSigner({}), networks: CHAINS.map((c) => c.network) });
  return made.getSupported();
}
