// @x402/core's in-process facilitator with @x402/evm over plain http: POST /verify, POST /settle, GET /supported.
import { createServer } from "node:http";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { walletClient } from "./chain.mjs";
import { args, fail, readJson, ready } from "./common.mjs";

const V1_NAMES = { 8453: "base", 84532: "base-sepolia" };

const options = args(
  {
    port: { type: "string", default: "0" },
    rpc: { type: "string" },
    key: { type: "string" },
    "confirmation-timeout-ms": { type: "string", default: "30000" },
  },
  ["rpc", "key"],
);

const client = await walletClient(options.rpc, options.key).catch((error) => fail(`facilitator-server: ${error.message}`, 1));
const signer = toFacilitatorEvmSigner(Object.assign(client, { address: client.account.address }), {
  confirmationTimeoutMs: Number(options["confirmation-timeout-ms"]),
});
const facilitator = new x402Facilitator().register(`eip155:${client.chain.id}`, new ExactEvmScheme(signer));
const v1Name = V1_NAMES[client.chain.id];
if (v1Name) facilitator.registerV1(v1Name, new ExactEvmSchemeV1(signer));

const answer = (response, status, value) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
};

async function route(request) {
  const { method, url } = request;
  if (method === "GET" && url === "/supported") return facilitator.getSupported();
  if (method !== "POST" || (url !== "/verify" && url !== "/settle")) return undefined;
  const { paymentPayload, paymentRequirements } = await readJson(request);
  if (!paymentPayload || !paymentRequirements) throw new Error("paymentPayload or paymentRequirements is missing");
  return url === "/verify" ? facilitator.verify(paymentPayload, paymentRequirements) : facilitator.settle(paymentPayload, paymentRequirements);
}

const server = createServer(async (request, response) => {
  try {
    const value = await route(request);
    if (value === undefined) answer(response, 404, { error: "not found" });
    else answer(response, 200, value);
  } catch (error) {
    answer(response, 500, { error: error.message });
  }
});

ready(server, options.port, { address: client.account.address, network: `eip155:${client.chain.id}` });
