use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, B256, Bytes, U256};
use async_trait::async_trait;
use farthing_ambient::{Entropy, Timestamp};
use farthing_money::{Asset, BaseUnits, Network};
use farthing_protocol::x402::{ExactEvmPayload, Flow};
use farthing_protocol::{PaymentKey, Requirements};
use farthing_rail::{Payer, PaymentState, RailError, SignedPayment};
use secp256k1::SecretKey;

use crate::ChainConfig;
use crate::abi::Token as Abi;
use crate::eip3009::Authorization;
use crate::hexes::payable_address;
use crate::key::Key;
use crate::lookup::{Nonce, payment_state};
use crate::rpc::Rpc;
use crate::token::{Token, returned, view};

/// The longest that a signed payment may stay valid, in seconds. While it is valid, its amount stays reserved; the
/// offers seen in use ask for 60 to 900.
pub const MAX_TIMEOUT_SECONDS: u64 = 86_400;

/// Gets an encrypted key when it is needed. It may block, for as long as it takes to decrypt or to ask somebody.
pub type UnlockKey = Box<dyn Fn() -> Result<SecretKey, RailError> + Send + Sync>;

/// Pays `exact` offers over EIP-3009 from one key.
pub struct EvmPayer {
    address: Address,
    key: OnceLock<Key>,
    unlock: Option<UnlockKey>,
    chains: Vec<(Rpc, u64)>,
}

impl EvmPayer {
    /// A payer with this key on these networks. `entropy` only varies waiting times; nonces come from the one that is
    /// given to [`Payer::sign`].
    ///
    /// # Errors
    /// [`RailError::Configuration`] for a network that is no EVM chain or has no endpoint.
    pub fn new(
        secret: SecretKey,
        chains: &[ChainConfig],
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, RailError> {
        let key = Key::new(secret);
        let address = key.address;
        Ok(Self { address, key: OnceLock::from(key), unlock: None, chains: connect(chains, entropy)? })
    }

    /// A payer whose key stays encrypted until the first signature. Everything else needs the address only.
    ///
    /// # Errors
    /// [`RailError::Configuration`], as [`Self::new`], and for an address that is none.
    pub fn locked(
        address: &str,
        unlock: UnlockKey,
        chains: &[ChainConfig],
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, RailError> {
        let bad = || RailError::Configuration(format!("`{}` is no EVM address", address.escape_debug()));
        let address = address.parse().map_err(|_| bad())?;
        Ok(Self { address, key: OnceLock::new(), unlock: Some(unlock), chains: connect(chains, entropy)? })
    }

    /// The key, unlocked at its first use.
    fn key(&self) -> Result<&Key, RailError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let none = || RailError::Locked("there is no way to unlock it".to_owned());
        let key = Key::new(self.unlock.as_ref().ok_or_else(none)?()?);
        if key.address != self.address {
            return Err(RailError::Locked(format!(
                "the key belongs to {}, not to {}",
                key.address, self.address
            )));
        }
        Ok(self.key.get_or_init(|| key))
    }

    fn chain(&self, network: &Network) -> Result<&(Rpc, u64), RailError> {
        let chain = self.chains.iter().find(|(rpc, _)| rpc.network == *network);
        chain.ok_or_else(|| RailError::Configuration(format!("no RPC endpoint is configured for {network}")))
    }
}

fn connect(chains: &[ChainConfig], entropy: &Arc<dyn Entropy>) -> Result<Vec<(Rpc, u64)>, RailError> {
    chains.iter().map(|config| Ok((Rpc::new(config, entropy.clone())?, config.log_range_blocks))).collect()
}

#[async_trait]
impl Payer for EvmPayer {
    fn networks(&self) -> Vec<Network> {
        self.chains.iter().map(|(rpc, _)| rpc.network.clone()).collect()
    }

    fn address(&self, network: &Network) -> Option<String> {
        self.chain(network).ok().map(|_| self.address.to_checksum(None))
    }

    fn can_pay(&self, terms: &Requirements, asset: &Asset) -> Result<(), RailError> {
        self.chain(&terms.network).map_err(|error| RailError::Unpayable(error.to_string()))?;
        check_terms(terms, asset)?;
        check_payee(terms, asset, self.address)
    }

    fn unlock(&self) -> Result<(), RailError> {
        self.key().map(|_| ())
    }

    fn sign(
        &self,
        terms: &Requirements,
        asset: &Asset,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SignedPayment, RailError> {
        self.can_pay(terms, asset)?;
        let key = self.key()?;
        let token = Token::required(asset)?;
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce)?;
        let authorization = authorize(key, terms, now, nonce)?;
        let signature = key.sign(&authorization.digest(&token.separator));
        let wire = ExactEvmPayload {
            signature: Bytes::copy_from_slice(&signature).to_string(),
            authorization: authorization.to_wire(),
        };
        Ok(SignedPayment {
            payload: serde_json::value::to_raw_value(&wire).map_err(|error| unpayable(error.to_string()))?,
            key: PaymentKey::eip3009(
                &terms.network,
                token.address.into_array(),
                self.address.into_array(),
                nonce,
            ),
            payer: self.address.to_checksum(None),
            valid_before: expiry(terms, now)?,
        })
    }

    async fn balance(&self, asset: &Asset) -> Result<BaseUnits, RailError> {
        let (rpc, _) = self.chain(&asset.network)?;
        let token = Token::required(asset)?;
        let data: Bytes = rpc.get(view(token.address, &Abi::balanceOfCall { account: self.address })).await?;
        let balance = returned::<Abi::balanceOfCall>(&data);
        let balance = balance.ok_or_else(|| rpc.nonsense("balanceOf", &data.to_string()))?;
        // More than 2^128 - 1 of a dollar token does not exist.
        u128::try_from(balance)
            .map(BaseUnits::new)
            .map_err(|_| rpc.nonsense("balanceOf", &balance.to_string()))
    }

    async fn lookup(
        &self,
        network: &Network,
        key: &PaymentKey,
        since: Timestamp,
    ) -> Result<PaymentState, RailError> {
        let (rpc, range) = self.chain(network)?;
        payment_state(rpc, nonce_of(network, key)?, since, *range).await
    }
}

impl std::fmt::Debug for EvmPayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EvmPayer({} on {:?})", self.address, self.networks())
    }
}

/// The chain's identity of a payment on this network.
pub(crate) fn nonce_of(network: &Network, key: &PaymentKey) -> Result<Nonce, RailError> {
    let on_network = key.as_str().split_once('/').is_some_and(|(named, _)| named == network.as_str());
    let parts = key.eip3009_parts().filter(|_| on_network);
    let (token, from, nonce) = parts
        .ok_or_else(|| RailError::Configuration(format!("{key} is no EIP-3009 payment on {network}")))?;
    Ok(Nonce { token: token.into(), from: from.into(), nonce: nonce.into() })
}

/// A seller's text, cut to what is safe and worth printing.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}

fn unpayable(why: impl Into<String>) -> RailError {
    RailError::Unpayable(why.into())
}

/// Whether these terms can be signed: everything of the offer that the signature binds or that decides who gets it.
fn check_terms(terms: &Requirements, asset: &Asset) -> Result<(), RailError> {
    if terms.scheme != "exact" {
        return Err(unpayable(format!("the scheme `{}` is not supported", shown(&terms.scheme))));
    }
    let flow = Flow::of(&terms.extra).map_err(|error| unpayable(error.to_string()))?;
    if flow == Flow::Escrow {
        return Err(unpayable("the payment flow `escrow` is not supported"));
    }
    if asset.network != terms.network || !terms.network.same_address(&asset.address, &terms.asset) {
        return Err(unpayable(format!("the offer's asset is not {} on {}", asset.symbol, asset.network)));
    }
    let method = terms.extra.0.get("assetTransferMethod").filter(|value| !value.is_null());
    if method.is_some_and(|method| method.as_str() != Some("eip3009")) {
        return Err(unpayable("the offer asks for another transfer method than eip3009"));
    }
    if terms.max_timeout_seconds == 0 || terms.max_timeout_seconds > MAX_TIMEOUT_SECONDS {
        return Err(unpayable(format!(
            "the offer's `maxTimeoutSeconds` is {}; it has to be 1 to {MAX_TIMEOUT_SECONDS}",
            terms.max_timeout_seconds
        )));
    }
    check_domain(terms, asset)
}

/// Somebody must be paid: not this wallet itself, nor the token, from which no money comes back.
fn check_payee(terms: &Requirements, asset: &Asset, own: Address) -> Result<(), RailError> {
    let payee = payable_address(&terms.pay_to)
        .ok_or_else(|| unpayable("the offer's `payTo` is not an EVM address"))?;
    if payee == own {
        return Err(unpayable("the offer's `payTo` is this wallet itself"));
    }
    if payable_address(&asset.address) == Some(payee) {
        return Err(unpayable("the offer's `payTo` is the token's own contract, where money is lost"));
    }
    Ok(())
}

/// The offer's signing domain must be the one that the registry knows: under another one a signature means nothing,
/// or something else.
fn check_domain(terms: &Requirements, asset: &Asset) -> Result<(), RailError> {
    let token = Token::required(asset)?;
    for (field, known) in [("name", &token.name), ("version", &token.version)] {
        match terms.extra.str(field) {
            Some(offered) if offered == known => {}
            Some(offered) => {
                return Err(unpayable(format!(
                    "the offer's `extra.{field}` is `{}`, but {} signs under `{known}`",
                    shown(offered),
                    asset.symbol
                )));
            }
            None => return Err(unpayable(format!("the offer lacks `extra.{field}`"))),
        }
    }
    Ok(())
}

fn expiry(terms: &Requirements, now: Timestamp) -> Result<Timestamp, RailError> {
    let seconds = i64::try_from(terms.max_timeout_seconds).ok().and_then(|s| now.as_second().checked_add(s));
    let expiry = seconds.and_then(|second| Timestamp::from_second(second).ok());
    expiry.filter(|expiry| expiry.as_second() > 0).ok_or_else(|| unpayable("the clock shows no usable time"))
}

fn authorize(
    key: &Key,
    terms: &Requirements,
    now: Timestamp,
    nonce: [u8; 32],
) -> Result<Authorization, RailError> {
    let expiry_s = u64::try_from(expiry(terms, now)?.as_second())
        .map_err(|_| unpayable("the clock shows no usable time"))?;
    Ok(Authorization {
        from: key.address,
        to: payable_address(&terms.pay_to)
            .ok_or_else(|| unpayable("the offer's `payTo` is not an EVM address"))?,
        value: U256::from(terms.amount.get()),
        valid_after: U256::ZERO,
        valid_before: U256::from(expiry_s),
        nonce: B256::from(nonce),
    })
}

#[cfg(test)]
#[path = "payer_tests.rs"]
mod tests;
