// viem's clients for one RPC endpoint: Base or Base Sepolia, real or local, as its chain id says.
import { createPublicClient, createWalletClient, defineChain, http, nonceManager, publicActions } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { prefixed } from "./common.mjs";

const POLL_MS = 100;

export async function publicClient(rpc) {
  const id = await createPublicClient({ transport: http(rpc) }).getChainId();
  return createPublicClient({ chain: chainOf(id, rpc), transport: http(rpc), pollingInterval: POLL_MS });
}

/** A client that signs, sends and reads with `key`. */
export async function walletClient(rpc, key) {
  const { chain } = await publicClient(rpc);
  const account = privateKeyToAccount(prefixed(key), { nonceManager });
  return createWalletClient({ account, chain, transport: http(rpc), pollingInterval: POLL_MS }).extend(publicActions);
}

function chainOf(id, rpc) {
  const nativeCurrency = { name: "Ether", symbol: "ETH", decimals: 18 };
  return defineChain({ id, name: `chain ${id}`, nativeCurrency, rpcUrls: { default: { http: [rpc] } } });
}
