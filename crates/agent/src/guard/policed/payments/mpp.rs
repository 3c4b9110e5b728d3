//! The Machine Payments Protocol: credentials and challenges of the intent `charge`, over `tempo` and `evm`.
//!
//! An EIP-3009 authorization is judged by what it signs. A transaction of Tempo's and the hash of one that is out are
//! judged by the request of the challenge that they answer: to whether they fulfil it the server holds them.

use std::sync::Arc;

use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::Denial;
use farthing_policy::json::{Json, Object};
use farthing_protocol::PaymentKey;
use farthing_protocol::x402::{Authorization, ExactEvmPayload};
use farthing_rail_evm::eip3009::signed_for;
use sha2::{Digest, Sha256};

use super::x402::{agrees, signed_payment};
use super::{Carried, MPP_CREDENTIAL, NEVER, Price, known, only_keys, raw, unclear};

/// The protocol's name in records.
const PROTOCOL: &str = "mpp";
/// The longest signed transaction that is read, in bytes.
const MAX_TRANSACTION: usize = 64 * 1024;

/// Reads a credential.
pub(super) fn carried(credential: &Json, registry: &Registry) -> Result<Carried, Denial> {
    // For its bound on the size.
    raw(credential)?;
    let challenge = credential.get("challenge").ok_or_else(|| unclear("it has no challenge"))?;
    let price = asked(challenge, registry)?;
    let payload = credential.get("payload").unwrap_or(&Json::Null);
    let kind = text(payload, "type")?;
    match (text(challenge, "method")?, kind) {
        ("evm", "authorization") => authorization(payload, &price),
        ("tempo", "transaction") => {
            by_bytes(price, "tempo-transaction", &hex(payload, "signature")?, credential)
        }
        ("tempo" | "evm", "hash") => {
            let hash = hex(payload, "hash")?;
            if hash.len() != 32 {
                return Err(unclear("the transaction's hash has not 32 bytes"));
            }
            by_bytes(price, "transaction-hash", &hash, credential)
        }
        (method, kind) => {
            let kind: String = kind.chars().take(32).flat_map(char::escape_debug).collect();
            Err(unclear(format_args!("credentials of the type `{kind}` are not known for `{method}`")))
        }
    }
}

/// What a challenge asks for. One whose credential would be refused is refused as well.
pub(super) fn asked(challenge: &Json, registry: &Registry) -> Result<Price, Denial> {
    let (method, intent) = (text(challenge, "method")?, text(challenge, "intent")?);
    if !matches!(method, "tempo" | "evm") || intent != "charge" {
        return Err(unclear("of MPP only `charge` over `tempo` and `evm` is known"));
    }
    let request = challenge.get("request").unwrap_or(&Json::Null);
    let details = request.get("methodDetails").and_then(Json::as_object);
    let chain = details.and_then(|details| details.get("chainId")).and_then(chain_id);
    let chain = chain.ok_or_else(|| unclear("its challenge names no chain (`methodDetails.chainId`)"))?;
    let splits = [request.get("splits"), details.and_then(|details: &Object| details.get("splits"))];
    if splits.into_iter().flatten().any(|splits| splits.as_array().is_none_or(|list| !list.is_empty())) {
        return Err(unclear("it pays several payees at once"));
    }
    let amount = BaseUnits::from_digits(text(request, "amount")?).map_err(unclear)?;
    let asset = known(registry, &Network::evm(chain), text(request, "currency")?)?.clone();
    Ok(Price { asset, amount, payee: text(request, "recipient")?.to_owned() })
}

fn authorization(payload: &Json, price: &Price) -> Result<Carried, Denial> {
    let keys = ["type", "from", "to", "value", "validAfter", "validBefore", "nonce", "signature"];
    only_keys(payload, "its payload", &keys)?;
    let field = |name| text(payload, name).map(str::to_owned);
    let payload = ExactEvmPayload {
        authorization: Authorization {
            from: field("from")?,
            to: field("to")?,
            value: field("value")?,
            valid_after: field("validAfter")?,
            valid_before: field("validBefore")?,
            nonce: field("nonce")?,
        },
        signature: field("signature")?,
    };
    let asset: &Arc<Asset> = &price.asset;
    let signed = signed_for(&payload, asset).ok_or_else(|| {
        unclear(format_args!("no plain account signed it for {} on {}", asset.symbol, asset.network))
    })?;
    let carried = signed_payment(asset, &signed, PROTOCOL, MPP_CREDENTIAL)?;
    agrees((carried.price.amount, &carried.price.payee), (price.amount, &price.payee), &asset.network)?;
    Ok(carried)
}

/// A payment that is known by its bytes alone. How long it is good for can't be told.
fn by_bytes(price: Price, kind: &'static str, bytes: &[u8], credential: &Json) -> Result<Carried, Denial> {
    let key = PaymentKey::digest(&price.asset.network, kind, Sha256::digest(bytes).into());
    let source = credential.get("source").and_then(Json::as_str).unwrap_or_default();
    let payer = source.rsplit(':').next().filter(|address| is_address(address)).unwrap_or("unknown");
    Ok(Carried {
        protocol: PROTOCOL,
        scheme: "charge",
        place: MPP_CREDENTIAL,
        key,
        payer: payer.to_owned(),
        valid_before: NEVER,
        price,
    })
}

fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str, Denial> {
    let text = json.get(key).and_then(Json::as_str);
    text.ok_or_else(|| unclear(format_args!("`{key}` is missing, or is no text")))
}

fn hex(json: &Json, key: &str) -> Result<Vec<u8>, Denial> {
    let digits = text(json, key)?.strip_prefix("0x").filter(|digits| digits.len() <= 2 * MAX_TRANSACTION);
    let bytes = digits.and_then(|digits| hex::decode(digits).ok()).filter(|bytes| !bytes.is_empty());
    bytes.ok_or_else(|| unclear(format_args!("`{key}` is no hex")))
}

fn chain_id(json: &Json) -> Option<u64> {
    let Json::Number(number) = json else { return None };
    number.as_str().parse().ok()
}

fn is_address(text: &str) -> bool {
    text.len() == 42 && text.starts_with("0x") && text.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit())
}
