// Whole answers of an @x402/express server, as bytes on the wire show them (without Date and the connection's own headers).
import http from "node:http";
import expressFramework from "express";
import { HTTPFacilitatorClient, decodePaymentRequiredHeader, decodePaymentResponseHeader, encodePaymentSignatureHeader } from "@x402/core/http";
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, setSettlementOverrides } from "@x402/express";
import { CHAINS, PAYEE, file, payer, requirementsV1, requirementsV2 } from "./fixed.mjs";
import { pay, requiredV1, requiredV2 } from "./client.mjs";
import { bodyOf, scripted, serve } from "./local.mjs";

const SEPOLIA = CHAINS[1];
const TX = "0x4444444444444444444444444444444444444444444444444444444444444444";
const HOST = "api.example.com";
const CONNECTION = ["date", "connection", "keep-alive", "x-powered-by"];

const json = (value, status = 200) => ({ status, body: JSON.stringify(value) });
const settled = (changes = {}) => json({ success: true, payer: payer.address, transaction: TX, network: SEPOLIA.network, ...changes });
const refused = (changes = {}) => settled({ success: false, errorReason: "invalid_exact_evm_transaction_failed", ...changes });
const valid = json({ isValid: true, payer: payer.address });
const HONEST = { "/supported": json({ kinds: [{ x402Version: 2, scheme: "exact", network: SEPOLIA.network }] }), "/verify": valid, "/settle": settled() };

export async function express() {
  const cases = [];
  for (const [name, made] of Object.entries(await scenarios())) cases.push(await oneCase(name, made));
  return file(`What an @x402/express server answers on the wire; Host is ${HOST}; the headers ${CONNECTION.join(", ")} are left out`, {
    routes: "paid: GET /weather, POST /echo, GET /fails (handler answers 500), GET /throws, GET /cached, GET /override/:amount; upfront: GET /upfront, GET /upfront-fails",
    cases,
  });
}

async function oneCase(name, { path = "/weather", method = "GET", headers = {}, body, facilitator = {} }) {
  const peer = await scripted({ ...HONEST, ...facilitator });
  const server = await serve(app(peer.url));
  const response = await ask(server.port, { path, method, headers, body });
  await server.stop();
  await peer.stop();
  const asked = peer.asked.filter((request) => request.path !== "/supported").map(settleAmount);
  return { name, request: { method, path, headers, ...(body && { body }) }, response, decoded: decodedOf(response.headers), facilitator_asked: asked };
}

function settleAmount({ path, body }) {
  return { path, amount: JSON.parse(body).paymentRequirements.amount };
}

function decodedOf(headers) {
  const required = headers["payment-required"];
  const response = headers["payment-response"];
  return {
    ...(required && { "payment-required": decodePaymentRequiredHeader(required) }),
    ...(response && { "payment-response": decodePaymentResponseHeader(response) }),
  };
}

function ask(port, { path, method, headers, body }) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: "127.0.0.1", path, method, headers: { host: HOST, ...headers }, agent: false }, async (answer) => {
      const text = await bodyOf(answer);
      const kept = Object.entries(answer.headers).filter(([key]) => !CONNECTION.includes(key));
      resolve({ status: answer.statusCode, headers: Object.fromEntries(kept), body: text });
    });
    request.on("error", reject);
    request.end(body);
  });
}

function app(facilitatorUrl) {
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl })).register(SEPOLIA.network, new ExactEvmScheme());
  const offer = (changes = {}) => ({ accepts: { scheme: "exact", network: SEPOLIA.network, payTo: PAYEE, price: "$0.01", ...changes } });
  const described = { ...offer(), description: "The weather", mimeType: "application/json" };
  const upfront = offer({ extra: { paymentFlow: "upfront" } });
  const routes = {
    "GET /weather": described,
    "POST /echo": described,
    "GET /fails": offer(),
    "GET /throws": offer(),
    "GET /cached": offer(),
    "GET /override/[amount]": offer(),
    "GET /upfront": upfront,
    "GET /upfront-fails": upfront,
  };
  const made = expressFramework();
  made.use(expressFramework.json());
  made.use(paymentMiddleware(routes, server));
  made.get(["/weather", "/upfront"], (_, response) => response.set("X-Handler", "yes").json({ celsius: 21 }));
  made.get("/free", (_, response) => response.json({ free: true }));
  made.post("/echo", (request, response) => response.status(201).json({ echo: request.body }));
  made.get(["/fails", "/upfront-fails"], (_, response) => response.set("X-Handler", "yes").status(500).json({ error: "upstream" }));
  made.get("/throws", async () => {
    throw new Error("handler threw");
  });
  made.get("/cached", (_, response) => response.set("Cache-Control", "public, max-age=60").send("cached"));
  made.get("/override/:amount", (request, response) => {
    setSettlementOverrides(response, { amount: request.params.amount });
    response.json({ charged: request.params.amount });
  });
  // Express's own page for an error holds a stack trace, which changes with every version.
  made.use((error, _request, response, _next) => response.status(500).type("text").send(error.message));
  return made;
}

async function scenarios() {
  const offered = (path, changes = {}) => requiredV2([requirementsV2(SEPOLIA, changes)], { resource: { url: `http://${HOST}${path}`, description: "", mimeType: "" } });
  const payment = await pay("express", offered("/weather"));
  const upfrontPayment = await pay("express upfront", offered("/upfront", { extra: { ...SEPOLIA.extra, paymentFlow: "upfront" } }));
  const v1 = await pay("express v1", requiredV1([requirementsV1(SEPOLIA)]));
  const paid = { headers: { "payment-signature": encodePaymentSignatureHeader(payment) } };
  const upfront = { headers: { "payment-signature": encodePaymentSignatureHeader(upfrontPayment) } };
  const signed = (value) => ({ headers: { "payment-signature": value } });
  const altered = (changes) => signed(encodePaymentSignatureHeader({ ...payment, ...changes }));
  return {
    ...unpaid(),
    ...badPayments({ signed, altered, payment, v1 }),
    ...paidCalls({ paid, upfront }),
    ...troubles({ paid, upfront }),
    ...overrides({ paid }),
  };
}

const unpaid = () => ({
  "a free route": { path: "/free" },
  "unpaid": {},
  "unpaid with a query": { path: "/weather?city=Z%C3%BCrich&x=1" },
  "unpaid POST": { path: "/echo", method: "POST", headers: { "content-type": "application/json" }, body: '{"a":1}' },
  "unpaid HEAD on a GET route: not charged": { method: "HEAD" },
  "unpaid, a browser": { headers: { accept: "text/html", "user-agent": "Mozilla/5.0" } },
  "unpaid, upper-case path": { path: "/WEATHER" },
  "unpaid, trailing slash": { path: "/weather/" },
  "unpaid, two slashes": { path: "//weather" },
  "unpaid, encoded letter": { path: "/we%61ther" },
  "unpaid, no description or mimeType": { path: "/fails" },
  "unpaid, upfront": { path: "/upfront" },
});

const badPayments = ({ signed, altered, payment, v1 }) => ({
  "payment is not base64": signed("!!!"),
  "payment is not JSON": signed("aGVsbG8="),
  "payment is empty": signed(""),
  "payment is null": signed("bnVsbA=="),
  "payment is a number": signed("MTIz"),
  "payment is an empty object": signed("e30="),
  "payment of x402Version 3": altered({ x402Version: 3 }),
  "v1 payment in X-PAYMENT: ignored": { headers: { "x-payment": encodePaymentSignatureHeader(v1) } },
  "v1 payment in PAYMENT-SIGNATURE": signed(encodePaymentSignatureHeader(v1)),
  "payment for another offer": altered({ accepted: { ...payment.accepted, amount: "1" } }),
  "payment without accepted": altered({ accepted: undefined }),
  "payment for another resource: not looked at": altered({ resource: { url: "https://elsewhere.example/" } }),
  "payment with an extension that nobody advertised": altered({ extensions: { other: { info: {} } } }),
});

const paidCalls = ({ paid, upfront }) => ({
  "paid": paid,
  "paid POST": { ...paid, path: "/echo", method: "POST", headers: { ...paid.headers, "content-type": "application/json" }, body: '{"a":1}' },
  "paid, handler sets Cache-Control": { ...paid, path: "/cached" },
  "paid, handler answers 500": { ...paid, path: "/fails" },
  "paid, handler throws": { ...paid, path: "/throws" },
  "paid upfront": { ...upfront, path: "/upfront" },
  "paid upfront, handler answers 500": { ...upfront, path: "/upfront-fails" },
});

const troubles = ({ paid, upfront }) => ({
  "verify says invalid": { ...paid, facilitator: { "/verify": json({ isValid: false, invalidReason: "invalid_exact_evm_signature", invalidMessage: "bad", payer: payer.address }) } },
  "verify says invalid without a reason": { ...paid, facilitator: { "/verify": json({ isValid: false }) } },
  "verify says permit2_allowance_required": { ...paid, facilitator: { "/verify": json({ isValid: false, invalidReason: "permit2_allowance_required" }) } },
  "verify answers 400 with isValid": { ...paid, facilitator: { "/verify": json({ isValid: false, invalidReason: "invalid_payload", invalidMessage: "why" }, 400) } },
  "verify answers 500": { ...paid, facilitator: { "/verify": json({ error: "boom" }, 500) } },
  "verify answers rubbish": { ...paid, facilitator: { "/verify": { body: "<html>" } } },
  "settle refuses": { ...paid, facilitator: { "/settle": refused({ errorMessage: "reverted" }) } },
  "settle refuses without a reason": { ...paid, facilitator: { "/settle": json({ success: false, transaction: "", network: SEPOLIA.network }) } },
  "settle answers 400": { ...paid, facilitator: { "/settle": json({ success: false, errorReason: "invalid_payload", transaction: "", network: SEPOLIA.network }, 400) } },
  "settle answers 500": { ...paid, facilitator: { "/settle": json({ error: "boom" }, 500) } },
  "settle answers rubbish": { ...paid, facilitator: { "/settle": { body: "<html>" } } },
  "settle pending twice": { ...paid, facilitator: { "/settle": refused({ errorReason: "settlement_pending" }) } },
  "settle pending, then settled": { ...paid, facilitator: { "/settle": [refused({ errorReason: "settlement_pending" }), settled()] } },
  "settle refuses, upfront": { ...upfront, path: "/upfront", facilitator: { "/settle": refused() } },
  "facilitator supports nothing we offer": { facilitator: { "/supported": json({ kinds: [] }) } },
  "facilitator's /supported is down": { facilitator: { "/supported": json({ error: "down" }, 503) } },
  "facilitator's /supported is rubbish": { facilitator: { "/supported": { body: "<html>" } } },
});

const overrides = ({ paid }) => ({
  "Settlement-Overrides 2500": { ...paid, path: "/override/2500" },
  "Settlement-Overrides 0": { ...paid, path: "/override/0" },
  "Settlement-Overrides 50%": { ...paid, path: "/override/50%25" },
  "Settlement-Overrides 33.33%": { ...paid, path: "/override/33.33%25" },
  "Settlement-Overrides 150%": { ...paid, path: "/override/150%25" },
  "Settlement-Overrides $0.005": { ...paid, path: "/override/$0.005" },
  "Settlement-Overrides more than the offer": { ...paid, path: "/override/20000" },
  "Settlement-Overrides rubbish goes through as it is": { ...paid, path: "/override/abc" },
});
