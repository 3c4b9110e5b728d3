//! A buyer: reads a 402, and signs as many payments for it as a run needs, each with a nonce of its own.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::{Eip712Domain, SolStruct, sol};
use farthing_money::{BaseUnits, Network, Registry};
use farthing_protocol::x402::{
    self, ExactEvmPayload, FacilitatorRequest, PAYMENT_REQUIRED, Payment, Paywall, ResourceInfo,
};
use farthing_protocol::{Challenge, Offer, Protocol, Requirements};
use secp256k1::{Message, SECP256K1, SecretKey};
use serde_json::value::to_raw_value;

use crate::Failure;
use crate::http1::{self, Connection};

/// Who is paid: the third of anvil's accounts.
pub(crate) const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

/// A key that is good for nothing but this.
static KEY: LazyLock<SecretKey> = LazyLock::new(|| SecretKey::new(&mut rand::rng()));

sol! {
    /// EIP-3009.
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

/// The buyer's address.
pub(crate) fn address() -> Address {
    let public = KEY.public_key(SECP256K1).serialize_uncompressed();
    Address::from_slice(&keccak256(&public[1..])[12..])
}

/// What a seller wants for a path.
pub(crate) struct Price {
    challenge: Challenge,
    offer: Offer,
    domain: Eip712Domain,
}

/// Asks a seller.
pub(crate) async fn ask(port: u16, path: &str) -> Result<Price, Failure> {
    let mut connection = Connection::open(port).await?;
    let status = connection.exchange(&http1::get(path, None)).await?;
    let header = connection.header(PAYMENT_REQUIRED).ok_or("the 402 has no PAYMENT-REQUIRED header")?;
    if status != 402 {
        return Err(format!("{path} answered {status}, not 402").into());
    }
    Price::read(Challenge::read(Some(header.as_bytes()), connection.body())?)
}

fn domain(offer: &Offer) -> Result<Eip712Domain, Failure> {
    let terms = &offer.requirements;
    let chain_id = terms.network.evm_chain_id().ok_or("the offer is not on an EVM chain")?;
    // The name of USDC on Base Sepolia: both sellers offer nothing else.
    Ok(Eip712Domain::new(
        Some("USDC".into()),
        Some("2".into()),
        Some(U256::from(chain_id)),
        Some(terms.asset.parse()?),
        None,
    ))
}

impl Price {
    fn read(challenge: Challenge) -> Result<Self, Failure> {
        let v2 = challenge.offers.iter().find(|offer| offer.protocol == Protocol::X402V2);
        let offer = v2.ok_or("the 402 has no offer of version 2")?.clone();
        let domain = domain(&offer)?;
        Ok(Self { challenge, offer, domain })
    }

    /// One base unit of USDC on Base Sepolia, without a seller who asks for it.
    pub(crate) fn of_one_unit() -> Result<Self, Failure> {
        let network = Network::BASE_SEPOLIA;
        let usdc = Registry::builtin().usdc(&network)?.address.clone();
        let terms = Requirements {
            scheme: "exact".into(),
            network,
            amount: BaseUnits::new(1),
            asset: usdc,
            pay_to: PAYEE.into(),
            max_timeout_seconds: 3600,
            extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#)?,
        };
        let paywall = Paywall::new(&ResourceInfo::new("http://localhost/paid"), &[terms])?;
        Self::read(Challenge::read(Some(paywall.v2_header().as_bytes()), b"")?)
    }

    /// What a seller sends to a facilitator, for a new payment.
    pub(crate) fn facilitator_request(&self) -> Result<String, Failure> {
        Ok(FacilitatorRequest::to_body(&self.payment()?, &self.offer.raw)?)
    }

    /// A paid request: all its bytes.
    pub(crate) fn paid_request(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let (name, value) = self.payment()?.to_header()?;
        Ok(http1::get(path, Some((name, &value))))
    }

    fn payment(&self) -> Result<Payment, Failure> {
        let payload = to_raw_value(&self.sign()?)?;
        Ok(Payment::answer(&self.challenge, &self.offer, payload)?)
    }

    fn sign(&self) -> Result<ExactEvmPayload, Failure> {
        let terms = &self.offer.requirements;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let authorization = TransferWithAuthorization {
            from: address(),
            to: terms.pay_to.parse()?,
            value: U256::from(terms.amount.get()),
            validAfter: U256::ZERO,
            validBefore: U256::from(now + terms.max_timeout_seconds),
            nonce: B256::from(rand::random::<[u8; 32]>()),
        };
        let digest = authorization.eip712_signing_hash(&self.domain);
        Ok(ExactEvmPayload { signature: signature(&digest), authorization: wire(&authorization) })
    }
}

fn signature(digest: &B256) -> String {
    let (id, compact) =
        SECP256K1.sign_ecdsa_recoverable(Message::from_digest(digest.0), &KEY).serialize_compact();
    let v = [27 + u8::from(i32::from(id) == 1)];
    format!("0x{}{}", alloy_primitives::hex::encode(compact), alloy_primitives::hex::encode(v))
}

fn wire(signed: &TransferWithAuthorization) -> x402::Authorization {
    x402::Authorization {
        from: signed.from.to_string(),
        to: signed.to.to_string(),
        value: signed.value.to_string(),
        valid_after: signed.validAfter.to_string(),
        valid_before: signed.validBefore.to_string(),
        nonce: signed.nonce.to_string(),
    }
}
