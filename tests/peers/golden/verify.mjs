// What the reference's facilitator says to payments that somebody tampered with, and to settlements that go wrong.
import { concatHex, encodeAbiParameters, hexToBigInt, numberToHex, parseSignature, serializeCompactSignature, signatureToCompactSignature, toHex } from "viem";
import { x402Facilitator } from "@x402/core/facilitator";
import { authorizationTypes, resetAssetContractCache } from "@x402/evm";
import { registerExactEvmScheme } from "@x402/evm/exact/facilitator";
import { CHAINS, FACILITATOR, NOW, OTHER, PAYEE, file, fixed, outcome, payer, requirementsV1, requirementsV2 } from "./fixed.mjs";
import { pay, requiredV1, requiredV2 } from "./client.mjs";
import { ABOUT_STUB, stubSigner } from "./stub-chain.mjs";

const SECP256K1_N = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
const MAGIC_6492 = "0x6492649264926492649264926492649264926492649264926492649264926492";
const FACTORY = "0x0BA5ED0c6AA8c49038F819E587E2633c4A9F428a";

/** A chain on which the asset exists and every payment goes through. */
export const settledState = (chain) => ({
  code: { [chain.asset.toLowerCase()]: "0x60" },
  simulation: "ok",
  token: { name: chain.extra.name, version: chain.extra.version, balanceOf: "1000000000", authorizationState: false },
  isValidSignature: "0x1626ba7e",
  receipt: "success",
});

/** Runs `work` with a facilitator over `state`; gives its outcome under `key` and what it sent. */
export async function facilitate(state, work, key) {
  resetAssetContractCache();
  const signer = stubSigner(state);
  const facilitator = registerExactEvmScheme(new x402Facilitator(), { signer, networks: CHAINS.map((c) => c.network) });
  const result = await outcome(() => work(facilitator));
  return { [key]: result.value ?? result, sent: signer.sent };
}

export async function verify() {
  const chain = CHAINS[1];
  const verified = [];
  const settled = [];
  for (const version of [2, 1]) {
    for (const [what, tamper] of Object.entries(tampers(chain))) {
      if (tamper.only === undefined || tamper.only === version) verified.push(await verifyCase(chain, version, what, tamper));
    }
    for (const [what, tamper] of Object.entries(settlements())) settled.push(await settleCase(chain, version, what, tamper));
  }
  return file("What the reference's facilitator answers: /verify on tampered payments, /settle when something goes wrong", {
    stub: ABOUT_STUB,
    facilitator: FACILITATOR,
    verify: verified,
    settle: settled,
  });
}

async function honest(chain, version, name, changes) {
  const { amount = "10000", ...rest } = changes;
  const requirements =
    version === 2
      ? requirementsV2(chain, { amount, ...rest })
      : requirementsV1(chain, { maxAmountRequired: amount, ...rest });
  const required = version === 2 ? requiredV2([requirements]) : requiredV1([requirements]);
  const paymentPayload = structuredClone(await pay(name, required));
  return { version, chain, paymentPayload, paymentRequirements: structuredClone(requirements), chainState: settledState(chain) };
}

/** An authorization of our own making, honestly signed: the reference's buyer never makes such a one. */
async function resign(made, changes, signerKeyHolder = payer) {
  const authorization = { ...made.paymentPayload.payload.authorization, ...changes };
  const signature = await signerKeyHolder.signTypedData({
    domain: { ...made.chain.extra, chainId: made.chain.chainId, verifyingContract: made.chain.asset },
    types: authorizationTypes,
    primaryType: "TransferWithAuthorization",
    message: authorization,
  });
  made.paymentPayload.payload = { authorization, signature };
}

async function tampered(chain, version, what, { offer = {}, change = () => {} }) {
  const name = `v${version} ${what}`;
  const made = await honest(chain, version, name, offer);
  await change(made);
  return { name, made };
}

async function verifyCase(chain, version, what, tamper) {
  const { name, made } = await tampered(chain, version, what, tamper);
  const { paymentPayload, paymentRequirements, chainState } = made;
  const { verify } = await fixed(name, () =>
    facilitate(chainState, (facilitator) => facilitator.verify(paymentPayload, paymentRequirements), "verify"),
  );
  return { name, x402Version: version, now: NOW, chain: chainState, paymentPayload, paymentRequirements, result: verify };
}

async function settleCase(chain, version, what, tamper) {
  const { name, made } = await tampered(chain, version, what, tamper);
  const { paymentPayload, paymentRequirements, chainState } = made;
  const { settle, sent } = await fixed(name, () =>
    facilitate(chainState, (facilitator) => facilitator.settle(paymentPayload, paymentRequirements), "settle"),
  );
  const transactions = sent.map(({ to, data, hash }) => ({ to, data, hash }));
  return { name, x402Version: version, now: NOW, chain: chainState, paymentPayload, paymentRequirements, result: settle, transactions };
}

const authorization = (made) => made.paymentPayload.payload.authorization;
/** v2 keeps the offer under `accepted`, v1 spreads scheme and network over the payload. */
const offered = (made) => (made.version === 2 ? made.paymentPayload.accepted : made.paymentPayload);
const setAmount = (made, amount) => (made.paymentRequirements[made.version === 2 ? "amount" : "maxAmountRequired"] = amount);
const setCode = (made, address, code) => (made.chainState.code[address.toLowerCase()] = code);
const reverting = (made, message, token = {}) => {
  made.chainState.simulation = message;
  Object.assign(made.chainState.token, token);
};

function tampers(chain) {
  return { ...terms(chain), ...times(), ...signatures(), ...numbers(), ...simulations(), ...shapes() };
}

const terms = (chain) => ({
  untouched: {},
  "payload for another network": { change: (m) => (offered(m).network = m.version === 2 ? CHAINS[0].network : CHAINS[0].v1) },
  "requirements for another network, signed for the first": {
    change: (m) => (m.paymentRequirements.network = m.version === 2 ? CHAINS[0].network : CHAINS[0].v1),
  },
  "both name another network than the signature": {
    change: (m) => {
      const other = m.version === 2 ? CHAINS[0].network : CHAINS[0].v1;
      offered(m).network = other;
      m.paymentRequirements.network = other;
    },
  },
  "a network that nobody registered": {
    change: (m) => {
      offered(m).network = m.version === 2 ? "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1" : "nowhere";
      m.paymentRequirements.network = offered(m).network;
    },
  },
  "an EVM network outside the configured list": {
    change: (m) => {
      offered(m).network = m.version === 2 ? "eip155:1" : "ethereum";
      m.paymentRequirements.network = offered(m).network;
    },
  },
  "payload names another scheme": { change: (m) => (offered(m).scheme = "upto") },
  "requirements name another scheme": { change: (m) => (m.paymentRequirements.scheme = "upto") },
  "unknown x402Version": { change: (m) => (m.paymentPayload.x402Version = 3) },
  "requirements pay somebody else": { change: (m) => (m.paymentRequirements.payTo = OTHER) },
  "authorization pays somebody else, signature kept": { change: (m) => (authorization(m).to = OTHER) },
  "authorization pays somebody else, signed": { change: (m) => resign(m, { to: OTHER }) },
  "payTo in lower case": { change: (m) => (m.paymentRequirements.payTo = PAYEE.toLowerCase()) },
  "authorization pays less, signed": { change: (m) => resign(m, { value: "9999" }) },
  "authorization pays more, signed": { change: (m) => resign(m, { value: "10001" }) },
  "requirements ask more": { change: (m) => setAmount(m, "10001") },
  "requirements ask less": { change: (m) => setAmount(m, "9999") },
  "value changed, signature kept": { change: (m) => (authorization(m).value = "9999") },
  "accepted amount differs from requirements, authorization fits": {
    only: 2,
    change: (m) => (m.paymentPayload.accepted.amount = "1"),
  },
  "extra.name missing": { change: (m) => delete m.paymentRequirements.extra.name },
  "extra.version missing": { change: (m) => delete m.paymentRequirements.extra.version },
  "extra.name empty": { change: (m) => (m.paymentRequirements.extra.name = "") },
  "extra missing": { change: (m) => delete m.paymentRequirements.extra },
  "extra null": { change: (m) => (m.paymentRequirements.extra = null) },
  "extra.name of another chain's token": { change: (m) => (m.paymentRequirements.extra.name = CHAINS[0].extra.name) },
  "requirements name another asset": { change: (m) => (m.paymentRequirements.asset = CHAINS[0].asset) },
  "asset without code": { change: (m) => setCode(m, chain.asset, undefined) },
  "asset with code 0x": { change: (m) => setCode(m, chain.asset, "0x") },
  "asset is no address": { change: (m) => (m.paymentRequirements.asset = "USDC") },
  "payTo is no address": { change: (m) => (m.paymentRequirements.payTo = "0x1234") },
});

const times = () => ({
  "validBefore now + 5": { change: (m) => resign(m, { validBefore: String(NOW + 5) }) },
  "validBefore now + 6": { change: (m) => resign(m, { validBefore: String(NOW + 6) }) },
  "validBefore in the past": { change: (m) => resign(m, { validBefore: String(NOW - 1) }) },
  "validBefore far beyond maxTimeoutSeconds": { change: (m) => resign(m, { validBefore: String(NOW + 10 * 365 * 86400) }) },
  "validAfter now": { change: (m) => resign(m, { validAfter: String(NOW) }) },
  "validAfter now + 1": { change: (m) => resign(m, { validAfter: String(NOW + 1) }) },
  "expired and also the wrong amount": { change: (m) => resign(m, { validBefore: String(NOW), value: "1" }) },
  "wrong recipient and also expired": { change: (m) => resign(m, { to: OTHER, validBefore: String(NOW) }) },
});

const signatures = () => ({
  "signature with a flipped bit": {
    change: (m) => (m.paymentPayload.payload.signature = flip(m.paymentPayload.payload.signature)),
  },
  "signed by somebody else": { change: (m) => (authorization(m).from = OTHER) },
  "signature empty": { change: (m) => (m.paymentPayload.payload.signature = "0x") },
  "signature of 64 bytes (EIP-2098)": { change: (m) => (m.paymentPayload.payload.signature = compact(m.paymentPayload.payload.signature)) },
  "signature of 66 bytes": { change: (m) => (m.paymentPayload.payload.signature += "00") },
  "signature with v 0 or 1": { change: (m) => (m.paymentPayload.payload.signature = lowV(m.paymentPayload.payload.signature)) },
  "signature with high s": { change: (m) => (m.paymentPayload.payload.signature = highS(m.paymentPayload.payload.signature)) },
  "signature with v 29": { change: (m) => (m.paymentPayload.payload.signature = `${m.paymentPayload.payload.signature.slice(0, -2)}1d`) },
  "signature in upper-case hex": {
    change: (m) => (m.paymentPayload.payload.signature = `0x${m.paymentPayload.payload.signature.slice(2).toUpperCase()}`),
  },
  "signature without 0x": { change: (m) => (m.paymentPayload.payload.signature = m.paymentPayload.payload.signature.slice(2)) },
  "payer has code, ERC-1271 says yes": { change: (m) => setCode(m, payer.address, "0x60") },
  "payer has code, ERC-1271 says yes to any length": {
    change: (m) => {
      setCode(m, payer.address, "0x60");
      m.paymentPayload.payload.signature = "0xabcdef";
    },
  },
  "payer has code, ERC-1271 says no though the key signed": {
    change: (m) => {
      setCode(m, payer.address, "0x60");
      m.chainState.isValidSignature = "0xffffffff";
    },
  },
  "payer is delegated (EIP-7702), ERC-1271 says no": {
    change: (m) => {
      setCode(m, payer.address, `0xef0100${OTHER.slice(2).toLowerCase()}`);
      m.chainState.isValidSignature = "0xffffffff";
    },
  },
  "ERC-6492, factory not on the list": { change: (m) => (m.paymentPayload.payload.signature = wrap6492(m.paymentPayload.payload.signature)) },
  "ERC-6492, already deployed, ERC-1271 says yes": {
    change: (m) => {
      setCode(m, payer.address, "0x60");
      m.paymentPayload.payload.signature = wrap6492(m.paymentPayload.payload.signature);
    },
  },
});

const numbers = () => ({
  "value with leading zeros": { change: (m) => (authorization(m).value = "0010000") },
  "value in hex": { change: (m) => (authorization(m).value = "0x2710") },
  "value as a JSON number": { change: (m) => (authorization(m).value = 10000) },
  "value with spaces": { change: (m) => (authorization(m).value = " 10000 ") },
  "value empty": { change: (m) => (authorization(m).value = "") },
  "value negative": { change: (m) => (authorization(m).value = "-10000") },
  "value with a fraction": { change: (m) => (authorization(m).value = "10000.0") },
  "value of 2^256": { change: (m) => (authorization(m).value = (2n ** 256n).toString()) },
  "nonce of 31 bytes": { change: (m) => (authorization(m).nonce = authorization(m).nonce.slice(0, -2)) },
  "nonce in upper-case hex": { change: (m) => (authorization(m).nonce = `0x${authorization(m).nonce.slice(2).toUpperCase()}`) },
  "from in lower case": { change: (m) => (authorization(m).from = authorization(m).from.toLowerCase()) },
  "from with a wrong checksum": { change: (m) => (authorization(m).from = wrongChecksum(authorization(m).from)) },
  "to with a wrong checksum": { change: (m) => (authorization(m).to = wrongChecksum(authorization(m).to)) },
});

const simulations = () => ({
  "simulation fails, nonce used": { change: (m) => reverting(m, "execution reverted", { authorizationState: true }) },
  "simulation fails, balance too low": { change: (m) => reverting(m, "execution reverted", { balanceOf: "9999" }) },
  "simulation fails, token has another name": { change: (m) => reverting(m, "execution reverted", { name: "Other" }) },
  "simulation fails, token has another version": { change: (m) => reverting(m, "execution reverted", { version: "1" }) },
  "simulation fails, no authorizationState": { change: (m) => reverting(m, "execution reverted", { authorizationState: null }) },
  "simulation fails, nothing else is wrong": { change: (m) => reverting(m, "execution reverted: FiatToken: paused") },
  "simulation fails, name() and version() revert": { change: (m) => reverting(m, "execution reverted", { name: null, version: null }) },
});

const shapes = () => ({
  "payload without authorization": { change: (m) => delete m.paymentPayload.payload.authorization },
  "payload without signature": { change: (m) => delete m.paymentPayload.payload.signature },
  "payload null": { change: (m) => (m.paymentPayload.payload = null) },
  "unknown keys everywhere": {
    change: (m) => {
      m.paymentPayload.later = { a: 1 };
      m.paymentPayload.payload.later = [1];
      authorization(m).later = null;
      m.paymentRequirements.later = "x";
    },
  },
});

const settlements = () => ({
  untouched: {},
  "transaction reverts": { change: (m) => (m.chainState.receipt = "reverted") },
  "receipt does not come": { change: (m) => (m.chainState.receipt = "timeout") },
  "no Transfer log": { change: (m) => (m.chainState.receipt = "no-transfer") },
  "sending fails": { change: (m) => (m.chainState.sendError = "insufficient funds for gas * price + value") },
  "sending fails, authorization used": { change: (m) => (m.chainState.sendError = "FiatTokenV2: authorization is used or canceled") },
  "sending fails, balance too low": { change: (m) => (m.chainState.sendError = "ERC20: transfer amount exceeds balance") },
  "sending fails, signature": { change: (m) => (m.chainState.sendError = "FiatTokenV2: invalid signature") },
  "sending fails, expired": { change: (m) => (m.chainState.sendError = "FiatTokenV2: authorization is expired") },
  "simulation would fail (settle does not simulate)": { change: (m) => (m.chainState.simulation = "execution reverted") },
  "verify would fail": { change: (m) => (m.paymentRequirements.payTo = OTHER) },
});

const flip = (signature) => `${signature.slice(0, 20)}${signature[20] === "0" ? "1" : "0"}${signature.slice(21)}`;
const compact = (signature) => serializeCompactSignature(signatureToCompactSignature(parseSignature(signature)));
const lowV = (signature) => concatHex([signature.slice(0, -2), toHex(parseSignature(signature).yParity, { size: 1 })]);

function highS(signature) {
  const { r, s, yParity } = parseSignature(signature);
  const other = numberToHex(SECP256K1_N - hexToBigInt(s), { size: 32 });
  return concatHex([r, other, numberToHex(27 + (1 - yParity), { size: 1 })]);
}

function wrap6492(signature) {
  const types = [{ type: "address" }, { type: "bytes" }, { type: "bytes" }];
  return concatHex([encodeAbiParameters(types, [FACTORY, "0x1234", signature]), MAGIC_6492]);
}

function wrongChecksum(address) {
  const at = address.slice(2).search(/[a-fA-F]/) + 2;
  const letter = address[at];
  const other = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase();
  return address.slice(0, at) + other + address.slice(at + 1);
}
