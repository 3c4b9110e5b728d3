// A chain that is only a table, so that the reference facilitator runs without one and always gives the same answers.
import { decodeFunctionData, encodeFunctionData, encodeFunctionResult, keccak256 } from "viem";
import { eip3009ABI } from "@x402/evm";
import { FACILITATOR } from "./fixed.mjs";

export const ABOUT_STUB = {
  code: "address (lower case) -> code; an address that is not listed has none. The case's asset has code 0x60 unless stated",
  simulation: "'ok', or the message with which transferWithAuthorization reverts in eth_call",
  token: "what name(), version(), balanceOf(), authorizationState() answer in the Multicall3 batch that explains a failed simulation; null: that call reverts",
  isValidSignature: "what ERC-1271's isValidSignature returns, at any address",
  receipt: "'success', 'reverted', 'timeout' (waiting throws), 'no-transfer' (success without the Transfer log)",
  sendError: "the message with which sending the transaction fails, or absent",
};

const TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
const padded = (address) => `0x${address.slice(2).toLowerCase().padStart(64, "0")}`;

/** A FacilitatorEvmSigner over `state` (see ABOUT_STUB); `sent` collects the transactions. */
export function stubSigner(state) {
  const sent = [];
  return {
    sent,
    getAddresses: () => [FACILITATOR],
    getCode: async ({ address }) => state.code[address.toLowerCase()],
    readContract: async ({ functionName, args }) => read(state, functionName, args),
    verifyTypedData: async () => {
      throw new Error("the reference does not call this");
    },
    writeContract: async ({ address, abi, functionName, args }) => {
      if (state.sendError) throw new Error(state.sendError);
      const data = encodeFunctionData({ abi, functionName, args });
      const hash = keccak256(data);
      sent.push({ to: address, data, hash, args });
      return hash;
    },
    sendTransaction: async () => {
      throw new Error("no deployments here");
    },
    waitForTransactionReceipt: async ({ hash }) => receipt(state, sent.find((tx) => tx.hash === hash), hash),
  };
}

function read(state, functionName, args) {
  if (functionName === "transferWithAuthorization") {
    if (state.simulation !== "ok") throw new Error(state.simulation);
    return undefined;
  }
  if (functionName === "isValidSignature") return state.isValidSignature;
  if (functionName === "tryAggregate") return args[1].map((call) => inBatch(state, call));
  throw new Error(`the stub has no ${functionName}`);
}

function inBatch(state, { target, callData }) {
  const isToken = state.code[target.toLowerCase()] !== undefined;
  return isToken ? explain(state, callData) : { success: true, returnData: "0x" };
}

function explain({ token, simulation }, callData) {
  const { functionName } = decodeFunctionData({ abi: eip3009ABI, data: callData });
  if (functionName === "transferWithAuthorization") return { success: simulation === "ok", returnData: "0x" };
  const answer = token[functionName];
  if (answer === null) return { success: false, returnData: "0x" };
  const result = functionName === "balanceOf" ? BigInt(answer) : answer;
  return { success: true, returnData: encodeFunctionResult({ abi: eip3009ABI, functionName, result }) };
}

function receipt(state, tx, hash) {
  if (state.receipt === "timeout") throw new Error(`Timed out while waiting for transaction with hash "${hash}" to be confirmed.`);
  if (state.receipt === "reverted") return { status: "reverted", logs: [] };
  if (state.receipt === "no-transfer") return { status: "success", logs: [] };
  const [from, to, value] = tx.args;
  const log = {
    address: tx.to,
    topics: [TRANSFER, padded(from), padded(to)],
    data: `0x${value.toString(16).padStart(64, "0")}`,
  };
  return { status: "success", logs: [log] };
}
