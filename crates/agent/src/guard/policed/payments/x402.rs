//! x402, versions 1 and 2: payments and offers of the scheme `exact` over EIP-3009.

use std::sync::Arc;

use farthing_ambient::Timestamp;
use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::Denial;
use farthing_policy::json::Json;
use farthing_protocol::x402::{ExactEvmPayload, Payment, v1, v2};
use farthing_protocol::{PaymentKey, Requirements};
use farthing_rail_evm::eip3009::{Authorization, signed_for};

use super::{Carried, NEVER, Price, X402_PAYMENT, known, only_keys, raw, unclear};

/// What a payment says it is for: in version 2 the offer that it accepts, in version 1 a scheme and a network.
struct Claimed {
    scheme: String,
    network: Network,
    accepted: Option<Requirements>,
}

/// Reads a payment from its signature: which asset and network it is for, who pays whom how much. Where the offer that
/// it says it accepts says otherwise, it is refused.
pub(super) fn carried(payment: &Json, registry: &Registry) -> Result<Carried, Denial> {
    let read = Payment::read(&raw(payment)?).map_err(unclear)?;
    let claimed = Claimed::of(&read)?;
    exact(&claimed.scheme, &claimed.network)?;
    let payload = payment.get("payload").unwrap_or(&Json::Null);
    only_keys(payload, "its payload", &["signature", "authorization"])?;
    let authorization = payload.get("authorization").unwrap_or(&Json::Null);
    let keys = ["from", "to", "value", "validAfter", "validBefore", "nonce"];
    only_keys(authorization, "its authorization", &keys)?;
    without_other_signatures(payment.get("extensions"))?;
    let payload: ExactEvmPayload =
        serde_json::from_str(read.payload().get()).map_err(|_| unclear("its payload can't be read"))?;
    let (asset, signed) = asset_of(&claimed, &payload, registry)?;
    let carried = signed_payment(asset, &signed, read.protocol().as_str(), X402_PAYMENT)?;
    if let Some(accepted) = &claimed.accepted {
        let Price { asset, amount, payee } = &carried.price;
        agrees((*amount, payee), (accepted.amount, &accepted.pay_to), &asset.network)?;
    }
    Ok(carried)
}

impl Claimed {
    fn of(payment: &Payment) -> Result<Self, Denial> {
        Ok(match payment {
            Payment::V1(payment) => {
                let network = payment.network.parse().map_err(unclear)?;
                Self { scheme: payment.scheme.clone(), network, accepted: None }
            }
            Payment::V2(payment) => {
                let accepted = v2::requirements(&payment.accepted).map_err(unclear)?;
                let (scheme, network) = (accepted.scheme.clone(), accepted.network.clone());
                Self { scheme, network, accepted: Some(accepted) }
            }
        })
    }
}

/// The asset that the payload is signed for. Version 1 names none, so every known one of the network is tried.
fn asset_of<'a>(
    claimed: &Claimed,
    payload: &ExactEvmPayload,
    registry: &'a Registry,
) -> Result<(&'a Arc<Asset>, Authorization), Denial> {
    let candidates = match &claimed.accepted {
        Some(accepted) => vec![known(registry, &accepted.network, &accepted.asset)?],
        None => registry.iter().filter(|asset| asset.network == claimed.network).collect(),
    };
    let signed = candidates.iter().find_map(|asset| Some((*asset, signed_for(payload, asset)?)));
    signed.ok_or_else(|| {
        unclear(format_args!(
            "no plain account signed it for a known asset on {}; smart wallets' signatures can't be checked here",
            claimed.network.display_name()
        ))
    })
}

/// An authorization of which it is known who signed it for which asset.
pub(super) fn signed_payment(
    asset: &Arc<Asset>,
    signed: &Authorization,
    protocol: &'static str,
    place: &'static str,
) -> Result<Carried, Denial> {
    let amount =
        u128::try_from(signed.value).map_err(|_| unclear("its amount is larger than any there is"))?;
    let seconds = u64::try_from(signed.valid_before).ok().and_then(|seconds| i64::try_from(seconds).ok());
    let valid_before = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let mut token = [0; 20];
    let digits = asset.address.strip_prefix("0x").unwrap_or_default();
    hex::decode_to_slice(digits, &mut token).map_err(|_| unclear("its asset has no address"))?;
    Ok(Carried {
        price: Price {
            asset: asset.clone(),
            amount: BaseUnits::new(amount),
            payee: signed.to.to_checksum(None),
        },
        protocol,
        scheme: "exact",
        place,
        key: PaymentKey::eip3009(&asset.network, token, signed.from.into(), signed.nonce.into()),
        payer: signed.from.to_checksum(None),
        valid_before: valid_before.unwrap_or(NEVER).min(NEVER),
    })
}

/// Refuses a payment that says other terms than it signs: whom it is meant to deceive does not matter.
pub(super) fn agrees(
    (signed, payee): (BaseUnits, &str),
    (said, said_payee): (BaseUnits, &str),
    network: &Network,
) -> Result<(), Denial> {
    if signed != said {
        return Err(unclear(format_args!("it says {said} base units, and {signed} are signed")));
    }
    if !network.same_address(payee, said_payee) {
        return Err(unclear("it names another payee than the one that is signed"));
    }
    Ok(())
}

fn exact(scheme: &str, network: &Network) -> Result<(), Denial> {
    if scheme == "exact" && network.namespace() == "eip155" {
        return Ok(());
    }
    let scheme: String = scheme.chars().take(32).flat_map(char::escape_debug).collect();
    Err(unclear(format_args!("only `exact` on EVM networks is known, not `{scheme}` on {network}")))
}

/// Refuses signed approvals, which may come along for schemes that need them: EIP-3009 needs none.
fn without_other_signatures(extensions: Option<&Json>) -> Result<(), Denial> {
    let sponsoring = ["eip2612GasSponsoring", "erc20ApprovalGasSponsoring"];
    let signed = |name: &str| {
        let info = extensions.and_then(|all| all.get(name)?.get("info"));
        info.is_some_and(|info| info.get("signature").is_some() || info.get("signedTransaction").is_some())
    };
    match sponsoring.into_iter().find(|name| signed(name)) {
        Some(name) => Err(unclear(format_args!("a signed approval comes with it (`{name}`)"))),
        None => Ok(()),
    }
}

/// What an offer asks for. One whose payment would be refused is refused as well.
pub(super) fn asked(offer: &Json, version: Option<&Json>, registry: &Registry) -> Result<Price, Denial> {
    let raw = raw(offer)?;
    let terms = match version {
        Some(version) if *version == Json::from(1) => {
            v1::PaymentRequirements::read(&raw).and_then(|offer| offer.requirements())
        }
        Some(version) if *version == Json::from(2) => v2::requirements(&raw),
        _ => return Err(unclear("its x402Version is neither 1 nor 2")),
    };
    let terms = terms.map_err(unclear)?;
    exact(&terms.scheme, &terms.network)?;
    if !matches!(terms.extra.str("assetTransferMethod"), None | Some("eip3009")) {
        return Err(unclear("only EIP-3009 authorizations are known"));
    }
    let asset = known(registry, &terms.network, &terms.asset)?.clone();
    if asset.eip712.is_none() {
        return Err(unclear(format_args!("`assets` in config.yaml gives {} no `eip712`", asset.symbol)));
    }
    Ok(Price { asset, amount: terms.amount, payee: terms.pay_to })
}
