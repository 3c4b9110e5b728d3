// The headers as @x402/core writes and reads them, and the v1 body.
import {
  decodePaymentRequiredHeader,
  decodePaymentResponseHeader,
  decodePaymentSignatureHeader,
  encodePaymentRequiredHeader,
  encodePaymentResponseHeader,
  x402HTTPClient,
} from "@x402/core/http";
import { parsePaymentPayload, parsePaymentRequired } from "@x402/core/schemas";
import { bazaarResourceServerExtension, declareDiscoveryExtension } from "@x402/extensions/bazaar";
import { CHAINS, RESOURCE, file, outcome, payer, requirementsV1, requirementsV2 } from "./fixed.mjs";
import { buyer, pay, requiredV1, requiredV2 } from "./client.mjs";

const [BASE, SEPOLIA] = CHAINS;
const TX = "0x2222222222222222222222222222222222222222222222222222222222222222";
const SVM = {
  scheme: "exact",
  network: "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
  amount: "10000",
  asset: "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
  payTo: "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4",
  maxTimeoutSeconds: 60,
  extra: { feePayer: "EwWqGE4ZFKLofuestmU4LDdK7XM1N4ALgdZccwYugwGd" },
};

export async function headers() {
  return file("Header values exactly as @x402/core writes them; `json` is the text inside, in its key order", {
    cases: [...requiredCases(), ...(await signatureCases()), ...responseCases()],
    bodies_v1: bodyCases(),
    decoding: await decodingCases(),
    reading_402: await readingCases(),
  });
}

function encoded(name, header, version, base64, value, schema) {
  const json = new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  const passes = schema && { passesSchema: schema(JSON.parse(json)).success };
  return { name, header, x402Version: version, base64, json, value: JSON.parse(JSON.stringify(value)), ...passes };
}

const required = (name, value) =>
  encoded(name, "PAYMENT-REQUIRED", 2, encodePaymentRequiredHeader(value), value, parsePaymentRequired);

function requiredCases() {
  const bazaar = bazaarExtension();
  return [
    required("one offer", requiredV2([requirementsV2(SEPOLIA)])),
    required("without error", requiredV2([requirementsV2(BASE)], { error: undefined })),
    required("several offers", requiredV2([requirementsV2(BASE), requirementsV2(SEPOLIA), SVM])),
    required("upfront flow", requiredV2([requirementsV2(BASE, { extra: { ...BASE.extra, paymentFlow: "upfront" } })])),
    required(
      "unicode",
      requiredV2([requirementsV2(BASE)], { resource: { ...RESOURCE, description: "Wetter in Zürich ☀️ 天気 \u{1F326} \u2028 \"quoted\" <b>&" } }),
    ),
    required(
      "every field of resource",
      requiredV2([requirementsV2(BASE)], {
        resource: { ...RESOURCE, serviceName: "Weather", tags: ["weather", "json"], iconUrl: "https://api.example.com/icon.png" },
      }),
    ),
    required(
      "null optionals",
      requiredV2([requirementsV2(BASE, { extra: null })], {
        error: null,
        resource: { url: RESOURCE.url, description: null, mimeType: null, serviceName: null, tags: null, iconUrl: null },
        extensions: null,
      }),
    ),
    required("empty description and mimeType", requiredV2([requirementsV2(BASE)], { resource: { url: RESOURCE.url, description: "", mimeType: "" } })),
    required(
      "unknown keys",
      requiredV2([requirementsV2(BASE, { later: [1, 2.5, true, null], extra: { ...BASE.extra, deep: { z: 1, a: 2 } } })], {
        extensions: { "x-unknown": { info: { n: 1 }, schema: {} }, another: "text" },
        later: { b: 1, a: 2 },
      }),
    ),
    required("bazaar extension", requiredV2([requirementsV2(BASE)], { extensions: bazaar })),
    required("amount as a number (the schema refuses it, the decoder does not)", requiredV2([requirementsV2(BASE, { amount: 10000 })])),
    required("no offers (the schema refuses it, the decoder does not)", requiredV2([])),
    required("network without a colon (the schema refuses it)", requiredV2([requirementsV2(BASE, { network: "base" })])),
  ];
}

/** What a server with the bazaar extension sends for GET /weather. */
function bazaarExtension() {
  const declared = declareDiscoveryExtension({
    input: { city: "Zürich" },
    inputSchema: { properties: { city: { type: "string", description: "Name of the city" } }, required: ["city"] },
    output: { example: { city: "Zürich", celsius: 21.5 }, schema: { properties: { celsius: { type: "number" } } } },
  });
  const context = { method: "GET", adapter: { getPath: () => "/weather" }, routePattern: "/weather" };
  return { bazaar: bazaarResourceServerExtension.enrichDeclaration(declared.bazaar, context) };
}

function signature(name, payload) {
  const [[header, base64]] = Object.entries(new x402HTTPClient(buyer()).encodePaymentSignatureHeader(payload));
  return encoded(name, header, payload.x402Version, base64, payload, parsePaymentPayload);
}

async function signatureCases() {
  const answer = async (name, paymentRequired) => signature(name, await pay(name, paymentRequired));
  const unicode = { ...RESOURCE, description: "Wetter in Zürich ☀️ 天気" };
  return [
    await answer("v2 payment", requiredV2([requirementsV2(SEPOLIA)])),
    await answer("v2 payment, offer in another key order", requiredV2([reversed(requirementsV2(BASE))])),
    await answer("v2 payment, unicode resource", requiredV2([requirementsV2(BASE)], { resource: unicode })),
    await answer("v2 payment, extensions are echoed", requiredV2([requirementsV2(BASE)], { extensions: { ...bazaarExtension(), "x-unknown": { a: [1] } } })),
    await answer("v2 payment, unknown keys of the offer are echoed", requiredV2([requirementsV2(BASE, { later: [1], extra: { ...BASE.extra, memo: null } })])),
    await answer("v2 payment, extensions null", requiredV2([requirementsV2(BASE)], { extensions: null })),
    await answer("v2 payment, offer without resource", requiredV2([requirementsV2(BASE)], { resource: undefined })),
    await answer("v2 payment, the first offer is one for Solana", requiredV2([SVM, requirementsV2(BASE)])),
    await answer("v2 payment, upfront comes first", requiredV2([upfront(BASE), requirementsV2(SEPOLIA)])),
    await answer("v2 payment, unknown flow comes first", requiredV2([unknownFlow(BASE), requirementsV2(SEPOLIA)])),
    await answer("v1 payment", requiredV1([requirementsV1(SEPOLIA)])),
    await answer("v1 payment on Base", requiredV1([requirementsV1(BASE)])),
  ];
}

const reversed = (object) => Object.fromEntries(Object.entries(object).reverse());
const upfront = (chain) => requirementsV2(chain, { extra: { ...chain.extra, paymentFlow: "upfront" } });
const unknownFlow = (chain) => requirementsV2(chain, { extra: { ...chain.extra, paymentFlow: "someday" } });

const response = (name, value, header = "PAYMENT-RESPONSE", version = 2) =>
  encoded(name, header, version, encodePaymentResponseHeader(value), value);

function responseCases() {
  const settled = { success: true, payer: payer.address, transaction: TX, network: SEPOLIA.network };
  const refused = {
    success: false,
    errorReason: "invalid_exact_evm_transaction_failed",
    errorMessage: "execution reverted",
    payer: payer.address,
    transaction: TX,
    network: SEPOLIA.network,
  };
  return [
    response("settled", settled),
    response("settled, with amount and extensions", { ...settled, amount: "10000", extensions: { x: { a: 1 } }, extra: { note: "ü" } }),
    response("settled, null optionals", { ...settled, errorReason: null, errorMessage: null, amount: null, extensions: null }),
    response("refused", refused),
    response("refused before a transaction", { success: false, errorReason: "invalid_payload", transaction: "", network: BASE.network }),
    response("extensionResponses never reach the buyer", { ...settled, extensionResponses: { bazaar: { status: "success" } } }),
    response("v1 settled", { ...settled, network: SEPOLIA.v1 }, "X-PAYMENT-RESPONSE", 1),
    response("v1 refused", { ...refused, network: SEPOLIA.v1 }, "X-PAYMENT-RESPONSE", 1),
  ];
}

function bodyCases() {
  const body = (name, value) => ({ name, json: JSON.stringify(value), value, passesSchema: parsePaymentRequired(value).success });
  return [
    body("one offer", requiredV1([requirementsV1(SEPOLIA)])),
    body("two offers", requiredV1([requirementsV1(BASE), requirementsV1(SEPOLIA)])),
    body("outputSchema null, no extra", requiredV1([requirementsV1(BASE, { outputSchema: null, extra: undefined })].map(plain))),
    body("outputSchema and unicode", requiredV1([requirementsV1(BASE, { description: "天気", outputSchema: { input: { type: "http", method: "GET" } } })])),
    body("error null (the schema refuses it)", requiredV1([requirementsV1(BASE)], { error: null })),
    body("description missing (the schema refuses it)", requiredV1([plain(requirementsV1(BASE, { description: undefined }))])),
    body("mimeType null (the schema refuses it)", requiredV1([requirementsV1(BASE, { mimeType: null })])),
    body("payTo empty (the schema refuses it)", requiredV1([requirementsV1(BASE, { payTo: "" })])),
  ];
}

const plain = (value) => JSON.parse(JSON.stringify(value));

const DECODERS = {
  "PAYMENT-REQUIRED": decodePaymentRequiredHeader,
  "PAYMENT-SIGNATURE": decodePaymentSignatureHeader,
  "PAYMENT-RESPONSE": decodePaymentResponseHeader,
};

const base64 = (text) => Buffer.from(text, "utf8").toString("base64");
const bytes64 = (...bytes) => Buffer.from(bytes).toString("base64");

const STRINGS = {
  empty: "",
  "not base64": "!!!",
  "a space inside": "eyJh IjoxfQ==",
  "a trailing newline": "eyJhIjoxfQ==\n",
  "one character": "e",
  "length 1 modulo 4": "eyJhI",
  "padding left out": base64('{"a":1}').replace(/=+$/, ""),
  "one = where two are due": base64('{"a":1}').replace(/=+$/, "="),
  "one = too many": `${base64('{"ab":1}').replace(/=+$/, "")}==`,
  "three =": "eyJhIjoxfQ===",
  "only padding": "==",
  "= in the middle": "eyJh=IjoxfQ==",
  "url-safe alphabet": base64('{"a":"???>>>"}').replace(/\+/g, "-").replace(/\//g, "_"),
  "same text, standard alphabet": base64('{"a":"???>>>"}'),
  "bits left over are not zero": "eyJhIjoxfR==",
  "plain JSON, not encoded": '{"x402Version":2}',
  "text that is no JSON": base64("hello"),
  "JSON cut short": base64('{"x402Version":2'),
  "JSON followed by rubbish": base64('{"a":1} x'),
  "JSON between blanks": base64(' \n{"a":1}\t'),
  "JSON null": base64("null"),
  "JSON number": base64("123"),
  "JSON string": base64('"text"'),
  "JSON array": base64("[]"),
  "JSON object without anything": base64("{}"),
  "the same key twice: the last one wins": base64('{"a":1,"a":2}'),
  "a byte order mark is dropped": bytes64(0xef, 0xbb, 0xbf, 0x7b, 0x7d),
  "bytes that are not UTF-8 become U+FFFD": bytes64(0x7b, 0x22, 0x61, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d),
  "an integer above 2^53 loses digits": base64('{"a":9007199254740993}'),
};

async function decodingCases() {
  const cases = [];
  for (const [name, input] of Object.entries(STRINGS)) {
    const results = await Promise.all(Object.entries(DECODERS).map(async ([header, decode]) => [header, await outcome(() => decode(input))]));
    cases.push({ name, input, results: Object.fromEntries(results) });
  }
  return cases;
}

/** Which offer the client reads from a 402: header first, then a body of v1. */
async function readingCases() {
  const client = new x402HTTPClient(buyer());
  const [v2, v1] = [requiredV2([requirementsV2(BASE)]), requiredV1([requirementsV1(BASE)])];
  const header = encodePaymentRequiredHeader(v2);
  const answers = {
    "v2 header, empty body": [header, undefined],
    "v2 header and v1 body: the header wins": [header, v1],
    "v1 body": [undefined, v1],
    "v2 in the body only": [undefined, v2],
    "empty header and v1 body": ["", v1],
    "bad header and v1 body: no falling back": ["!!!", v1],
    "neither": [undefined, {}],
    "body is no object": [undefined, "402"],
    "x402Version as text": [undefined, { ...v1, x402Version: "1" }],
  };
  const cases = [];
  for (const [name, [value, body]] of Object.entries(answers)) {
    const result = await outcome(() => client.getPaymentRequiredResponse((key) => (key === "PAYMENT-REQUIRED" ? (value ?? null) : null), body));
    cases.push({ name, header: value ?? null, body: body ?? null, reads: result.value?.x402Version ?? null, ...(result.throws && { throws: result.throws }) });
  }
  return cases;
}
