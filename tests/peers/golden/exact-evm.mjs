// exact on EVM over EIP-3009: what the reference's buyer signs, and what its facilitator sends.
import { hashDomain, hashStruct, hashTypedData, recoverAddress } from "viem";
import { authorizationTypes } from "@x402/evm";
import { CHAINS, NOW, PAYEE, PAYER_KEY, file, fixed, payer, requirementsV1, requirementsV2 } from "./fixed.mjs";
import { pay, requiredV1, requiredV2 } from "./client.mjs";
import { facilitate, settledState } from "./verify.mjs";

const AMOUNTS = ["1", "2500", "10000", (2n ** 64n).toString()];
// Below 6 seconds the facilitator refuses what the buyer signs.
const TIMEOUTS = [6, 60, 3600];

const DOMAIN_TYPE = [
  { name: "name", type: "string" },
  { name: "version", type: "string" },
  { name: "chainId", type: "uint256" },
  { name: "verifyingContract", type: "address" },
];

export async function exactEvm() {
  const cases = [];
  for (const chain of CHAINS) {
    for (const version of [1, 2]) cases.push(...(await casesOf(chain, version)));
  }
  return file("exact on EVM over EIP-3009: offer, signed payment, digest, signature, and the call that settles it", {
    privateKey: PAYER_KEY,
    payer: payer.address,
    cases,
  });
}

async function casesOf(chain, version) {
  const cases = [];
  for (const amount of AMOUNTS) cases.push(await signed(chain, version, `amount ${amount}`, { amount }));
  for (const maxTimeoutSeconds of TIMEOUTS) {
    cases.push(await signed(chain, version, `timeout ${maxTimeoutSeconds}s`, { maxTimeoutSeconds }));
  }
  const lower = { payTo: PAYEE.toLowerCase(), asset: chain.asset.toLowerCase() };
  cases.push(await signed(chain, version, "addresses in lower case", lower));
  return cases;
}

async function signed(chain, version, what, { amount = "10000", ...changes }) {
  const name = `v${version} ${chain.network} ${what}`;
  const requirements =
    version === 2
      ? requirementsV2(chain, { amount, ...changes })
      : requirementsV1(chain, { maxAmountRequired: amount, ...changes });
  const paymentRequired = version === 2 ? requiredV2([requirements]) : requiredV1([requirements]);
  const paymentPayload = await pay(name, paymentRequired);
  const { authorization, signature } = paymentPayload.payload;
  const domain = { ...chain.extra, chainId: chain.chainId, verifyingContract: chain.asset };
  const typedData = { domain, types: authorizationTypes, primaryType: "TransferWithAuthorization", message: authorization };
  const digest = hashTypedData(typedData);
  const { settle, sent } = await fixed(name, () =>
    facilitate(settledState(chain), (facilitator) => facilitator.settle(paymentPayload, requirements), "settle"),
  );
  return {
    name,
    x402Version: version,
    now: NOW,
    requirements,
    paymentPayload,
    eip712: {
      domain,
      domainSeparator: hashDomain({ domain, types: { EIP712Domain: DOMAIN_TYPE } }),
      structHash: hashStruct({ data: authorization, primaryType: typedData.primaryType, types: authorizationTypes }),
      digest,
    },
    signature,
    recovered: await recoverAddress({ hash: digest, signature }),
    settle,
    transaction: { to: sent[0].to, data: sent[0].data },
  };
}
