// A seller that speaks x402 v1 only: our fixture of x402-express 1.2.0's wire format (tests/golden/v1_seller.json), since
// @x402/express no longer sells to v1 clients, and x402-express brings 440 MB. GET /fails answers 500 after payment.
import { createServer } from "node:http";
import { HTTPFacilitatorClient, decodePaymentSignatureHeader, encodePaymentResponseHeader } from "@x402/core/http";
import { args, ready } from "./common.mjs";

const USDC = {
  base: { asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", extra: { name: "USD Coin", version: "2" } },
  "base-sepolia": { asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e", extra: { name: "USDC", version: "2" } },
};

const options = args(
  {
    port: { type: "string", default: "0" },
    facilitator: { type: "string" },
    "pay-to": { type: "string" },
    network: { type: "string", default: "base-sepolia" },
    amount: { type: "string", default: "10000" },
  },
  ["facilitator", "pay-to"],
);

const facilitator = new HTTPFacilitatorClient({ url: options.facilitator });

const offer = (request) => ({
  scheme: "exact",
  network: options.network,
  maxAmountRequired: options.amount,
  resource: `http://${request.headers.host}${request.url}`,
  description: "The weather",
  mimeType: "application/json",
  payTo: options["pay-to"],
  maxTimeoutSeconds: 300,
  asset: USDC[options.network].asset,
  outputSchema: { input: { type: "http", method: request.method, discoverable: true } },
  extra: USDC[options.network].extra,
});

function answer(response, status, value, headers = {}) {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}

async function sell(request, response) {
  const accepts = offer(request);
  const refuse = (error) => answer(response, 402, { x402Version: 1, error, accepts: [accepts] });
  const header = request.headers["x-payment"];
  if (!header) return refuse("X-PAYMENT header is required");
  let payment;
  try {
    payment = decodePaymentSignatureHeader(header);
  } catch {
    return refuse("Invalid or malformed payment header");
  }
  const verified = await facilitator.verify(payment, accepts);
  if (!verified.isValid) return refuse(verified.invalidReason);
  if (request.url === "/fails") return answer(response, 500, { error: "the handler failed" });
  const settlement = await facilitator.settle(payment, accepts);
  if (!settlement.success) return refuse(settlement.errorReason);
  return answer(response, 200, { weather: "sunny", celsius: 21 }, { "X-PAYMENT-RESPONSE": encodePaymentResponseHeader(settlement) });
}

const server = createServer((request, response) => {
  sell(request, response).catch((error) => answer(response, 500, { error: error.message }));
});

ready(server, options.port);
