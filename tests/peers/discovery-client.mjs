// Looks at a seller as a buyer's or an index's software does before it buys. Prints what it found as one line of JSON.
import { decodePaymentRequiredHeader } from "@x402/core/http";
import { extractDiscoveryInfo, validateDiscoveryExtension, validateDiscoveryExtensionSpec } from "@x402/extensions/bazaar";
import { discoverOriginSchema, validatePaymentRequiredDetailed } from "@agentcash/discovery";
import { args, print } from "./common.mjs";

const options = args(
  {
    origin: { type: "string" },
    url: { type: "string", multiple: true, default: [] },
  },
  ["origin"],
);

/** What a facilitator would catalogue of a call, as `METHOD URL`, and what the validators say to its 402. */
async function asked(call) {
  const [method, url] = call.split(" ");
  const answer = await fetch(url, { method });
  const required = decodePaymentRequiredHeader(answer.headers.get("payment-required"));
  const { resource, extensions, accepts } = required;
  const { bazaar } = extensions ?? {};
  return {
    call,
    status: answer.status,
    issues: validatePaymentRequiredDetailed(required).issues,
    schema: bazaar && validateDiscoveryExtension(bazaar),
    spec: bazaar && validateDiscoveryExtensionSpec(bazaar),
    catalogued: extractDiscoveryInfo({ x402Version: 2, resource, extensions, accepted: accepts[0] }, accepts[0]),
  };
}

const discovered = await discoverOriginSchema({ target: options.origin });
print({ discovered, calls: await Promise.all(options.url.map(asked)) });
