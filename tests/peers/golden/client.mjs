// The reference's buyer: what it signs for an offer.
import { x402Client } from "@x402/core/client";
import { registerExactEvmScheme } from "@x402/evm/exact/client";
import { RESOURCE, fixed, payer } from "./fixed.mjs";

export function buyer() {
  const client = new x402Client();
  client.setSpendControls(false);
  return registerExactEvmScheme(client, { signer: payer });
}

/** The payment for `paymentRequired`, signed at NOW with the nonce of `name`. */
export const pay = (name, paymentRequired) => fixed(name, () => buyer().createPaymentPayload(paymentRequired));

export const requiredV2 = (accepts, changes = {}) => ({
  x402Version: 2,
  error: "Payment required",
  resource: RESOURCE,
  accepts,
  ...changes,
});

export const requiredV1 = (accepts, changes = {}) => ({
  x402Version: 1,
  error: "X-PAYMENT header is required",
  accepts,
  ...changes,
});
