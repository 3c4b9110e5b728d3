// What @agentcash/discovery makes of documents that describe priced APIs, and what @x402/extensions writes into a 402.
import { declareDiscoveryExtension } from "@x402/extensions/bazaar";
import { checkEndpointSchema, discoverOriginSchema, getOpenAPI, getWarningsForL2, getWarningsForL3, getWarningsForOpenAPI } from "@agentcash/discovery";
import { checkL2ForOpenAPI, isOpenApiParseFailure } from "@agentcash/discovery";
import { file } from "./fixed.mjs";

const ORIGIN = "https://api.example.com";
const USDC = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";

export async function discovery() {
  const documents = [];
  for (const [name, document] of Object.entries(cases())) documents.push(await documentCase(name, document));
  const bazaar = Object.entries(declarations()).map(([name, declared]) => ({ name, declared, extensions: declareDiscoveryExtension(declared) }));
  return file(`Documents of ${ORIGIN} and what the reference reads of them; bazaar extensions as the reference writes them`, { documents, bazaar });
}

/** The reference asks the network: here it gets the document, whatever it asks. */
async function documentCase(name, document) {
  const ask = globalThis.fetch;
  globalThis.fetch = async () => new Response(JSON.stringify(document), { headers: { "content-type": "application/json" } });
  try {
    const discovered = await discoverOriginSchema({ target: ORIGIN });
    const endpoints = [];
    for (const endpoint of discovered.endpoints ?? []) endpoints.push(await endpointCase(endpoint));
    const { found, info, guidance, ownershipProofs } = discovered;
    return { name, document, found, info, guidance, ownershipProofs, endpoints, warnings: await warnings() };
  } finally {
    globalThis.fetch = ask;
  }
}

async function endpointCase(endpoint) {
  // It does not find again what it has listed under a server's prefix.
  const { advisories = [] } = await checkEndpointSchema({ url: `${ORIGIN}${endpoint.path}` });
  const advisory = advisories.find(({ method }) => method === endpoint.method) ?? null;
  const { inputSchema, outputSchema } = advisory ?? {};
  return { ...endpoint, inputSchema, outputSchema, warnings: getWarningsForL3(advisory).map((warning) => warning.code) };
}

async function warnings() {
  const read = (await getOpenAPI(ORIGIN)).unwrapOr(null);
  const of_document = getWarningsForOpenAPI(read);
  const of_routes = read && !isOpenApiParseFailure(read) ? getWarningsForL2(checkL2ForOpenAPI(read)) : [];
  return [...new Set([...of_document, ...of_routes].map((warning) => warning.code))].sort();
}

const info = { title: "Weather", version: "1.0.0", contact: { email: "team@example.com" } };
const whole = (operations, more = {}) => ({ openapi: "3.1.0", info, paths: operations, ...more });
const one = (payment, more = {}) => whole({ "/call": { get: operation({ "x-payment-info": payment, ...more }) } });
const operation = (more) => ({ summary: "A call", security: [], parameters: [], responses: { 200: { description: "OK" }, 402: { description: "Payment required" } }, ...more });
const x402 = [{ x402: {} }];
const structured = (price, protocols = x402) => one({ price, protocols });
const offer = (more) => ({ intent: "charge", method: "tempo", amount: "20000", currency: USDC, ...more });

function cases() {
  return { ...prices(), ...legacy(), ...offers(), ...modes(), ...shapes() };
}

const prices = () => ({
  fixed: structured({ mode: "fixed", amount: "0.02", currency: "USD" }),
  "fixed without a currency": structured({ mode: "fixed", amount: "0.02" }),
  "fixed in euro": structured({ mode: "fixed", amount: "0.02", currency: "EUR" }),
  "fixed without an amount": structured({ mode: "fixed", currency: "USD" }),
  "fixed as a number": structured({ mode: "fixed", amount: 0.02 }),
  "fixed with an exponent": structured({ mode: "fixed", amount: "1e3" }),
  "fixed and negative": structured({ mode: "fixed", amount: "-1" }),
  "fixed and no number": structured({ mode: "fixed", amount: "NaN" }),
  "fixed with eighty digits": structured({ mode: "fixed", amount: "9".repeat(80) }),
  dynamic: structured({ mode: "dynamic", min: "0.01", max: "2.50", currency: "USD" }),
  "dynamic without a maximum": structured({ mode: "dynamic", min: "0.01" }),
  "dynamic without a minimum": structured({ mode: "dynamic", max: "2.50" }),
  "dynamic without bounds": structured({ mode: "dynamic" }),
  "dynamic and reversed": structured({ mode: "dynamic", min: "2.50", max: "0.01" }),
  "an unknown mode": structured({ mode: "auction", amount: "0.02" }),
  "no protocols": one({ price: { mode: "fixed", amount: "0.02" } }),
  "x402 and mpp": structured({ mode: "fixed", amount: "0.02" }, [...x402, { mpp: { method: "tempo", intent: "charge", currency: "USD" } }]),
  "mpp without its parts": structured({ mode: "fixed", amount: "0.02" }, [{ mpp: {} }]),
  "an unknown protocol": structured({ mode: "fixed", amount: "0.02" }, [{ l402: {} }]),
});

const legacy = () => ({
  "flat fixed": one({ pricingMode: "fixed", price: "0.02", protocols: ["x402"] }),
  "flat range": one({ pricingMode: "range", minPrice: "0.01", maxPrice: "2.50", protocols: ["x402", "mpp"] }),
  "flat quote": one({ pricingMode: "quote", maxPrice: "2.50", protocols: ["x402"] }),
  "flat quote without a maximum": one({ pricingMode: "quote", protocols: ["x402"] }),
  "flat without a mode": one({ price: "0.02", protocols: ["x402"] }),
  "flat bounds without a mode": one({ minPrice: "0.01", maxPrice: "2.50", protocols: ["x402"] }),
});

const offers = () => ({
  "one offer in short": one(offer()),
  "one offer in short, open": one(offer({ amount: null })),
  "one session in short": one(offer({ intent: "session" })),
  "a list of one": one({ offers: [offer()] }),
  "a list of two prices": one({ offers: [offer(), offer({ amount: "30000" })] }),
  "cents": one({ offers: [offer({ method: "stripe", amount: "5", currency: "usd" })] }),
  "an unknown token": one({ offers: [offer({ currency: "0x20c0000000000000000000000000000000000000" })] }),
  "price and offers that agree": one({ price: { mode: "fixed", amount: "0.02", currency: "USD" }, protocols: x402, offers: [offer({ method: "x402" })] }),
  "price and offers that disagree": one({ price: { mode: "fixed", amount: "0.03", currency: "USD" }, protocols: x402, offers: [offer({ method: "x402" })] }),
});

const keys = { components: { securitySchemes: { key: { type: "apiKey", in: "header", name: "X-Key" }, bearer: { type: "http", scheme: "bearer" }, wallet: { type: "apiKey", in: "header", name: "SIGN-IN-WITH-X", "x-agentcash-auth-kind": "siwx" } } } };
const paid = { price: { mode: "fixed", amount: "0.02" }, protocols: x402 };
const secured = (security, payment) => whole({ "/call": { get: operation({ security, ...(payment ? { "x-payment-info": payment } : {}) }) } }, keys);

const modes = () => ({
  "paid with a key": secured([{ key: [] }], paid),
  "paid with sign-in": secured([{ wallet: [] }], paid),
  "a key": secured([{ key: [] }]),
  "a bearer key": secured([{ bearer: [] }]),
  "a key or nothing": secured([{ key: [] }, {}], paid),
  "sign-in": secured([{ wallet: [] }]),
  nothing: secured([]),
  "not said": secured(undefined),
  "said for the whole document": whole({ "/call": { get: operation({ security: undefined }) } }, { ...keys, security: [{ key: [] }] }),
});

const city = { name: "city", in: "query", required: true, description: "Which", schema: { type: "string" } };
const body = { required: true, content: { "application/json": { schema: { $ref: "#/components/schemas/Query" } } } };
const answer = { 200: { description: "OK", content: { "application/json": { schema: { $ref: "#/components/schemas/Answer" } } } }, 402: { description: "Payment required" } };
const schemas = { components: { schemas: { Query: { type: "object", properties: { q: { type: "string" } }, required: ["q"] }, Answer: { type: "object", properties: { hits: { type: "array", items: { $ref: "#/components/schemas/Hit" } } } }, Hit: { type: "string" } } } };

const shapes = () => ({
  "parameters, a body, an answer": whole({ "/search": { post: operation({ "x-payment-info": paid, parameters: [city], requestBody: body, responses: answer }) } }, schemas),
  "a body alone": whole({ "/search": { post: operation({ "x-payment-info": paid, parameters: undefined, requestBody: body, responses: answer }) } }, schemas),
  "a path with a parameter": whole({ "/weather/{city}": { get: operation({ "x-payment-info": paid, parameters: [{ ...city, in: "path" }] }) } }),
  "a server's prefix": whole({ "/call/": { get: operation({ "x-payment-info": paid }) } }, { servers: [{ url: `${ORIGIN}/v1/` }] }),
  "a relative server": whole({ "/call": { get: operation({ "x-payment-info": paid }) } }, { servers: [{ url: "/v1" }] }),
  "many methods": whole({ "/call": { post: operation({}), get: operation({ "x-payment-info": paid }), delete: operation({}) } }),
  "guidance and proofs": { ...whole({ "/call": { get: operation({ "x-payment-info": paid }) } }), info: { ...info, "x-guidance": "Ask for one city." }, "x-agentcash-provenance": { ownershipProofs: ["0xabc"] } },
  "older guidance and proofs": { ...whole({ "/call": { get: operation({ "x-payment-info": paid }) } }), info: { ...info, guidance: "Ask for one city." }, "x-discovery": { ownershipProofs: ["0xabc"] } },
  "no contact": { ...whole({ "/call": { get: operation({ "x-payment-info": paid }) } }), info: { title: "Weather", version: "1" } },
  "no title": { ...whole({ "/call": { get: operation({ "x-payment-info": paid }) } }), info: { version: "1" } },
  "no paths": { openapi: "3.1.0", info },
  "nothing priced": whole({ "/call": { get: operation({}) } }),
  "one bad operation among good ones": whole({ "/bad": { get: { summary: 7, "x-payment-info": "dear" } }, "/good": { get: operation({ "x-payment-info": paid }) } }),
});

const declarations = () => ({
  query: { method: "GET", input: { city: "Oslo" }, inputSchema: { properties: { city: { type: "string" } }, required: ["city"] }, output: { example: { degrees: 7 } } },
  body: { method: "POST", bodyType: "json", input: { q: "x" }, inputSchema: { type: "object", properties: { q: { type: "string" } } }, output: { example: { hits: [] }, schema: { properties: { hits: { type: "array" } } } } },
  nothing: { method: "GET" },
  path: { method: "GET", pathParams: { city: "Oslo" }, pathParamsSchema: { properties: { city: { type: "string" } } } },
  form: { method: "PUT", bodyType: "form-data", input: { file: "x" }, inputSchema: { properties: { file: { type: "string" } } } },
  tool: { toolName: "search", description: "Searches", inputSchema: { type: "object", properties: { q: { type: "string" } } }, example: { q: "x" }, output: { example: { hits: [] } } },
});
