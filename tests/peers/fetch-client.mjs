// Calls a URL once and pays with @x402/fetch and @x402/evm if it is asked to. Prints what came back as one line of JSON.
import { decodePaymentResponseHeader } from "@x402/core/http";
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { toClientEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/client";
import { wrapFetchWithPayment } from "@x402/fetch";
import { privateKeyToAccount } from "viem/accounts";
import { publicClient } from "./chain.mjs";
import { args, fail, prefixed, print } from "./common.mjs";

const options = args(
  {
    url: { type: "string" },
    rpc: { type: "string" },
    key: { type: "string" },
    v1: { type: "boolean", default: false },
    method: { type: "string", short: "X", default: "GET" },
    data: { type: "string", short: "d" },
    base64: { type: "boolean", default: false },
    stream: { type: "boolean", default: false },
    alter: { type: "string", default: "{}" },
    header: { type: "string", short: "H", multiple: true, default: [] },
  },
  ["url", "key"],
);

/** Signs other terms than it was asked to, and claims that they are those: what a buyer does who cheats. */
const altered = (scheme) => ({
  scheme: scheme.scheme,
  createPaymentPayload: (version, requirements, context) =>
    scheme.createPaymentPayload(version, { ...requirements, ...JSON.parse(options.alter) }, context),
});

const account = privateKeyToAccount(prefixed(options.key));
const client = new x402Client();
// Tests bring tokens and prices of their own; the caps under test are ours, not the reference's.
client.setSpendControls(false);
if (options.v1) {
  for (const network of ["base", "base-sepolia"]) client.registerV1(network, altered(new ExactEvmSchemeV1(account)));
} else {
  const signer = options.rpc ? toClientEvmSigner(account, await publicClient(options.rpc)) : account;
  client.register("eip155:*", altered(new ExactEvmScheme(signer)));
}

const sent = [];
const watchedFetch = async (request) => {
  const copy = request.clone();
  sent.push({ method: copy.method, headers: Object.fromEntries(copy.headers), body: await textOf(copy) });
  const response = await fetch(request);
  return options.v1 ? withoutV2(response) : response;
};

/** A server of both versions sends v2 in a header and v1 in the body; @x402/fetch prefers the header, a v1 client never looks. */
function withoutV2(response) {
  if (!response.headers.has("payment-required")) return response;
  const headers = new Headers(response.headers);
  headers.delete("payment-required");
  return new Response(response.body, { status: response.status, headers });
}

const textOf = async (message) => Buffer.from(await message.arrayBuffer()).toString(options.base64 ? "base64" : "utf8");

const headers = options.header.map((line) => [line.slice(0, line.indexOf(":")).trim(), line.slice(line.indexOf(":") + 1).trim()]);
if (options.data !== undefined && !headers.some(([name]) => name.toLowerCase() === "content-type")) {
  headers.push(["content-type", "application/json"]);
}
const data = options.data !== undefined && options.base64 ? Buffer.from(options.data, "base64") : options.data;
const init = {
  method: data !== undefined && options.method === "GET" ? "POST" : options.method,
  headers,
  // A stream has no length that is known beforehand: it goes out in chunks.
  ...(options.stream ? { body: new Blob([data]).stream(), duplex: "half" } : { body: data }),
};

try {
  const response = await wrapFetchWithPayment(watchedFetch, new x402HTTPClient(client))(options.url, init);
  const receipt = response.headers.get("payment-response") ?? response.headers.get("x-payment-response");
  print({
    status: response.status,
    headers: Object.fromEntries(response.headers),
    paymentResponse: receipt ? decodePaymentResponseHeader(receipt) : null,
    body: await textOf(response),
    sent,
  });
} catch (error) {
  print({ error: error.message, sent });
  fail(`fetch-client: ${error.message}`, 1);
}
