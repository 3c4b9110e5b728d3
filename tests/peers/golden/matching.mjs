// Whether @x402/core's server finds the offer that a payment says it accepted, and whether it accepts echoed extensions.
import { x402ResourceServer } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { CHAINS, OTHER, PAYEE, RESOURCE, file, outcome, requirementsV1, requirementsV2 } from "./fixed.mjs";

const [BASE, SEPOLIA] = CHAINS;
const SVM = {
  scheme: "exact",
  network: "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
  amount: "10000",
  asset: "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
  payTo: "2wKupLR9q6wXYppw8Gr2NvWxKBUqm4PPJKkQfoxHDBg4",
  maxTimeoutSeconds: 60,
  extra: { feePayer: "EwWqGE4ZFKLofuestmU4LDdK7XM1N4ALgdZccwYugwGd", recentBlockhash: "now" },
};
/** Stands in for @x402/svm's server scheme, which is not installed here: it names the same keys. */
const SVM_STUB = { scheme: "exact", dynamicExtraFields: ["recentBlockhash", "lastValidBlockHeight", "recentSlot"] };

export async function matching() {
  const server = new x402ResourceServer({}).register("eip155:*", new ExactEvmScheme()).register("solana:*", SVM_STUB);
  const cases = [];
  for (const [name, made] of Object.entries(offers())) cases.push(await matchCase(server, name, made));
  const extensions = Object.entries(echoes()).map(([name, made]) => echoCase(server, name, made));
  return file("Which of a server's offers a payment answers (`index`, or null for none), and which echoed extensions pass", { cases, extensions });
}

async function matchCase(server, name, { accepts, payment }) {
  const result = await outcome(() => accepts.indexOf(server.findMatchingRequirements(accepts, payment)));
  const found = result.throws ? { throws: result.throws } : { index: result.value < 0 ? null : result.value };
  return JSON.parse(JSON.stringify({ name, accepts, payment, ...found }));
}

const v2 = (accepted) => ({ x402Version: 2, resource: RESOURCE, accepted, payload: {} });
const one = (accepted, accepts = [requirementsV2(BASE)]) => ({ accepts, payment: v2(accepted) });
const changed = (changes) => one(requirementsV2(BASE, changes));
const extra = (client, server = BASE.extra) => one(requirementsV2(BASE, { extra: client }), [requirementsV2(BASE, { extra: server })]);
const without = (object, key) => Object.fromEntries(Object.entries(object).filter(([k]) => k !== key));

function offers() {
  return { ...terms(), ...extras(), ...versions() };
}

const terms = () => ({
  same: changed({}),
  "second of two": one(requirementsV2(SEPOLIA), [requirementsV2(BASE), requirementsV2(SEPOLIA)]),
  "twice the same: the first": one(requirementsV2(BASE), [requirementsV2(BASE), requirementsV2(BASE)]),
  "keys in another order": one(Object.fromEntries(Object.entries(requirementsV2(BASE)).reverse())),
  "other amount": changed({ amount: "9999" }),
  "amount as a number": changed({ amount: 10000 }),
  "amount with a leading zero": changed({ amount: "010000" }),
  "other payTo": changed({ payTo: OTHER }),
  "payTo in lower case": changed({ payTo: PAYEE.toLowerCase() }),
  "asset in lower case": changed({ asset: BASE.asset.toLowerCase() }),
  "other asset": changed({ asset: SEPOLIA.asset }),
  "other network": changed({ network: SEPOLIA.network }),
  "network by its v1 name": changed({ network: "base" }),
  "other scheme": changed({ scheme: "upto" }),
  "other maxTimeoutSeconds": changed({ maxTimeoutSeconds: 301 }),
  "maxTimeoutSeconds missing": one(without(requirementsV2(BASE), "maxTimeoutSeconds")),
  "an unknown key more": changed({ later: 1 }),
  "an unknown key more, null": changed({ later: null }),
  "the server's unknown key echoed": one(requirementsV2(BASE, { later: { a: 1 } }), [requirementsV2(BASE, { later: { a: 1 } })]),
  "the server's unknown key dropped": one(requirementsV2(BASE), [requirementsV2(BASE, { later: { a: 1 } })]),
  "no offers": one(requirementsV2(BASE), []),
});

const extras = () => ({
  "extra: client has more": extra({ ...BASE.extra, memo: "x" }),
  "extra: client has less": extra({ name: "USD Coin" }),
  "extra: other value": extra({ ...BASE.extra, version: "1" }),
  "extra: version as a number": extra({ ...BASE.extra, version: 2 }),
  "extra: keys in another order": extra({ version: "2", name: "USD Coin" }),
  "extra: client has none, server has some": one(without(requirementsV2(BASE), "extra")),
  "extra: client null, server has some": extra(null),
  "extra: server has none, client has some": one(requirementsV2(BASE), [without(requirementsV2(BASE), "extra")]),
  "extra: server null, client null": extra(null, null),
  "extra: server null, client none": one(without(requirementsV2(BASE), "extra"), [requirementsV2(BASE, { extra: null })]),
  "extra: server null, client has some": extra(BASE.extra, null),
  "extra: server empty, client none": one(without(requirementsV2(BASE), "extra"), [requirementsV2(BASE, { extra: {} })]),
  "extra: server empty, client has some": extra(BASE.extra, {}),
  "extra: object inside, client has more in it": extra({ ...BASE.extra, o: { a: 1, b: 2 } }, { ...BASE.extra, o: { a: 1 } }),
  "extra: object inside, client has less in it": extra({ ...BASE.extra, o: { a: 1 } }, { ...BASE.extra, o: { a: 1, b: 2 } }),
  "extra: array inside, same": extra({ ...BASE.extra, l: [1, 2] }, { ...BASE.extra, l: [1, 2] }),
  "extra: array inside, client has more": extra({ ...BASE.extra, l: [1, 2] }, { ...BASE.extra, l: [1] }),
  "extra: array inside, other order": extra({ ...BASE.extra, l: [2, 1] }, { ...BASE.extra, l: [1, 2] }),
  "extra: server's value null, client without the key": extra(BASE.extra, { ...BASE.extra, memo: null }),
  "extra: recentBlockhash differs on EVM: not ignored": extra({ ...BASE.extra, recentBlockhash: "a" }, { ...BASE.extra, recentBlockhash: "b" }),
  "extra: recentBlockhash differs on Solana: ignored": one({ ...SVM, extra: { ...SVM.extra, recentBlockhash: "old" } }, [SVM]),
  "extra: recentBlockhash missing on Solana: ignored": one({ ...SVM, extra: without(SVM.extra, "recentBlockhash") }, [SVM]),
  "extra: feePayer differs on Solana": one({ ...SVM, extra: { ...SVM.extra, feePayer: SVM.payTo } }, [SVM]),
});

const versions = () => ({
  "accepted missing": { accepts: [requirementsV2(BASE)], payment: { x402Version: 2, payload: {} } },
  "accepted null": one(null),
  "x402Version 3": { accepts: [requirementsV2(BASE)], payment: { ...v2(requirementsV2(BASE)), x402Version: 3 } },
  "x402Version as text": { accepts: [requirementsV2(BASE)], payment: { ...v2(requirementsV2(BASE)), x402Version: "2" } },
  "x402Version missing": { accepts: [requirementsV2(BASE)], payment: without(v2(requirementsV2(BASE)), "x402Version") },
  "a real v1 payment has no accepted: never found": {
    accepts: [requirementsV1(BASE)],
    payment: { x402Version: 1, scheme: "exact", network: "base", payload: {} },
  },
  "v1 with accepted: scheme and network only": {
    accepts: [requirementsV1(BASE)],
    payment: { x402Version: 1, accepted: { scheme: "exact", network: "base" }, payload: {} },
  },
});

function echoCase(server, name, { advertised, echoed, version = 2 }) {
  const paymentRequired = { x402Version: 2, accepts: [], ...(advertised && { extensions: advertised }) };
  const paymentPayload = { x402Version: version, payload: {}, ...(echoed !== undefined && { extensions: echoed }) };
  return { name, advertised: advertised ?? null, echoed: echoed ?? null, x402Version: version, result: server.validateExtensions(paymentRequired, paymentPayload) };
}

const INFO = { info: { a: 1, list: [1, 2], deep: { x: "y" } }, schema: { type: "object" } };

const echoes = () => ({
  "echoed as it was": { advertised: { e: INFO }, echoed: { e: INFO } },
  "not echoed": { advertised: { e: INFO } },
  "echoed null": { advertised: { e: INFO }, echoed: null },
  "echoed empty": { advertised: { e: INFO }, echoed: {} },
  "one of two echoed": { advertised: { e: INFO, f: INFO }, echoed: { e: INFO } },
  "info with more": { advertised: { e: INFO }, echoed: { e: { ...INFO, info: { ...INFO.info, more: 1 } } } },
  "info with less": { advertised: { e: INFO }, echoed: { e: { ...INFO, info: { a: 1 } } } },
  "info altered": { advertised: { e: INFO }, echoed: { e: { ...INFO, info: { ...INFO.info, a: 2 } } } },
  "info's array altered": { advertised: { e: INFO }, echoed: { e: { ...INFO, info: { ...INFO.info, list: [1] } } } },
  "schema altered: not looked at": { advertised: { e: INFO }, echoed: { e: { ...INFO, schema: {} } } },
  "schema dropped: not looked at": { advertised: { e: INFO }, echoed: { e: { info: INFO.info } } },
  "without info, same": { advertised: { e: { k: 1 } }, echoed: { e: { k: 1 } } },
  "without info, altered": { advertised: { e: { k: 1 } }, echoed: { e: { k: 2 } } },
  "an extension that nobody advertised": { advertised: { e: INFO }, echoed: { other: { info: {} } } },
  "altered, but v1": { advertised: { e: INFO }, echoed: { e: { info: {} } }, version: 1 },
});
