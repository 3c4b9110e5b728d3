//! A guarded session, a wallet that signs, and what sellers send.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_agent::guard::{
    Limits, Link, Policed, PolicedConfig, PolicyFile, Relay, Side, Stream, Words, payment_host,
};
use farthing_ambient::{Clock, Entropy, OsEntropy, SeededEntropy, TestClock};
use farthing_ledger::{Ledger, Purchase, PurchaseFilter, PurchaseState};
use farthing_money::{BaseUnits, Network, Registry};
use farthing_policy::json::Json;
use farthing_protocol::{Requirements, x402};
use farthing_rail::Payer;
use farthing_rail_evm::eip3009::{Authorization, domain_separator};
use farthing_rail_evm::{ChainConfig, EvmPayer};
use tempfile::TempDir;
use tokio::runtime::Handle;

pub(crate) const ONE: Stream = Stream(1);
pub(crate) const PAYEE: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
pub(crate) const OTHER: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
pub(crate) const BASE_USDC: &str = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913";
/// The time of the golden payments.
pub(crate) const NOW: i64 = 1_767_225_600;

#[derive(Default)]
struct Lists(Mutex<Vec<(Side, String)>>);

impl Link for Lists {
    fn send(&self, to: Side, stream: Stream, message: &[u8]) {
        self.queue(to, stream, message.to_vec());
    }

    fn queue(&self, to: Side, _: Stream, message: Vec<u8>) {
        self.0.lock().unwrap().push((to, String::from_utf8(message).unwrap()));
    }
}

/// A session behind the policy's gate.
pub(crate) struct World {
    link: Arc<Lists>,
    pub(crate) relay: Relay,
    pub(crate) ledger: Ledger,
    _folder: TempDir,
}

impl World {
    pub(crate) fn new(policy: &str) -> Self {
        Self::with(policy, Words::Ours)
    }

    /// To be called within a runtime.
    pub(crate) fn with(policy: &str, words: Words) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        std::fs::write(&path, format!("version: 1\n{policy}")).unwrap();
        let clock = Arc::new(TestClock::at_unix_second(NOW));
        let ledger = Ledger::in_memory(clock.clone()).unwrap();
        let gate = Policed::new(PolicedConfig {
            policy: Arc::new(PolicyFile::open(&path).unwrap()),
            ledger: ledger.clone(),
            server: "shop".to_owned(),
            host: payment_host(None, "shop"),
            registry: Registry::builtin(),
            agent: None,
            session: "s1".to_owned(),
            words,
            salt: Arc::new([7; 32]),
            notify: None,
            clock,
            entropy: Arc::new(SeededEntropy::new(5)),
            runtime: Handle::current(),
        });
        let link = Arc::new(Lists::default());
        let relay = Relay::new(
            Limits::default(),
            Arc::new(gate),
            link.clone(),
            Handle::current(),
            &SeededEntropy::new(1),
        )
        .unwrap();
        Self { link, relay, ledger, _folder: folder }
    }

    fn take(&self, side: Side) -> Option<String> {
        let mut sent = self.link.0.lock().unwrap();
        let at = sent.iter().position(|(to, _)| *to == side)?;
        Some(sent.remove(at).1)
    }

    /// The next message to either side: what became of a call.
    async fn next(&self) -> (Side, String) {
        for _ in 0..60_000 {
            for side in [Side::Client, Side::Server] {
                if let Some(message) = self.take(side) {
                    return (side, message);
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("nothing was sent");
    }

    /// Makes a call. `Ok`: the server got it; `Err`: the answer that the client got in its place.
    pub(crate) async fn call(&self, id: u32, tool: &str, meta: &str) -> Result<String, String> {
        self.call_with(id, tool, "{}", meta).await
    }

    pub(crate) async fn call_with(
        &self,
        id: u32,
        tool: &str,
        arguments: &str,
        meta: &str,
    ) -> Result<String, String> {
        self.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{meta}}}}}"#
        ))
        .await
    }

    pub(crate) async fn send(&self, message: &str) -> Result<String, String> {
        self.relay.from_client(ONE, message.as_bytes());
        match self.next().await {
            (Side::Server, message) => Ok(message),
            (Side::Client, message) => Err(message),
        }
    }

    /// The server answers; what the client gets.
    pub(crate) fn answer(&self, message: &str) -> String {
        self.relay.from_server(ONE, message.as_bytes());
        self.take(Side::Client).unwrap()
    }

    pub(crate) async fn purchases(&self) -> Vec<Purchase> {
        self.ledger.purchases(PurchaseFilter::default()).await.unwrap()
    }

    /// Waits until the last purchase is in this state.
    pub(crate) async fn ends(&self, state: PurchaseState) -> Purchase {
        for _ in 0..60_000 {
            let last = self.purchases().await.remove(0);
            if last.state == state {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it is {:?}", self.purchases().await);
    }

    /// Nothing in the ledger contradicts its journal.
    pub(crate) async fn whole(&self) {
        let report = self.ledger.verify().await.unwrap();
        assert!(report.problems.is_empty(), "{report:?}");
    }
}

/// The code and the rule of the denial in an answer.
pub(crate) fn denial(answer: &str) -> (String, String) {
    let json = Json::parse(answer.as_bytes()).unwrap();
    let result = json.get("result").unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(result.get("isError"), Some(&Json::Bool(true)), "{answer}");
    let denial = result.get("_meta").and_then(|meta| meta.get("farthing/denial")).unwrap();
    let text = |key| denial.get(key).and_then(Json::as_str).unwrap().to_owned();
    (text("code"), text("rule"))
}

/// Terms of an offer on Base.
pub(crate) fn terms(amount: u128, payee: &str) -> Requirements {
    Requirements {
        scheme: "exact".into(),
        network: Network::BASE,
        amount: BaseUnits::new(amount),
        asset: BASE_USDC.into(),
        pay_to: payee.into(),
        max_timeout_seconds: 300,
        extra: serde_json::from_str(r#"{"name":"USD Coin","version":"2"}"#).unwrap(),
    }
}

pub(crate) fn testnet(amount: u128, payee: &str) -> Requirements {
    Requirements {
        network: Network::BASE_SEPOLIA,
        asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e".into(),
        extra: serde_json::from_str(r#"{"name":"USDC","version":"2"}"#).unwrap(),
        ..terms(amount, payee)
    }
}

/// What a wallet signs for these terms: the scheme's payload.
pub(crate) fn sign(terms: &Requirements) -> Json {
    sign_by(terms, Arc::new(OsEntropy))
}

/// The same with a nonce that follows from the seed.
pub(crate) fn sign_seeded(terms: &Requirements, seed: u64) -> Json {
    sign_by(terms, Arc::new(SeededEntropy::new(seed)))
}

fn sign_by(terms: &Requirements, entropy: Arc<dyn Entropy>) -> Json {
    let chain = ChainConfig::public(&terms.network).unwrap();
    let key = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let payer = EvmPayer::new(key, &[chain], &entropy).unwrap();
    let asset = Registry::builtin().get(&terms.network, &terms.asset).unwrap().clone();
    let signed = payer.sign(terms, &asset, TestClock::at_unix_second(NOW).now(), &*entropy).unwrap();
    Json::parse(signed.payload.get().as_bytes()).unwrap()
}

/// The offer in version 2's form.
pub(crate) fn offer(terms: &Requirements) -> Json {
    let Requirements { scheme, network, amount, asset, pay_to, .. } = terms;
    let extra = serde_json::to_string(&terms.extra).unwrap();
    json(&format!(
        r#"{{"scheme":"{scheme}","network":"{network}","amount":"{amount}","asset":"{asset}","payTo":"{pay_to}","maxTimeoutSeconds":300,"extra":{extra}}}"#
    ))
}

/// A payment of version 2: this payload, for an offer that is said to be accepted.
pub(crate) fn payment(accepted: &Json, payload: &Json) -> String {
    format!(r#"{{"x402Version":2,"accepted":{accepted},"payload":{payload}}}"#)
}

/// `_meta` with a payment that was signed for these terms.
pub(crate) fn paid(terms: &Requirements) -> String {
    meta(&payment(&offer(terms), &sign(terms)))
}

pub(crate) fn meta(payment: &str) -> String {
    format!(r#"{{"x402/payment":{payment}}}"#)
}

/// A server's answer to a paid call.
pub(crate) fn settled(id: u32, response: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"_meta":{{"x402/payment-response":{response}}}}}}}"#
    )
}

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Terms that no wallet of ours would sign: these six fields under Base's USDC.
pub(crate) fn sign_fields(value: &str, valid_before: &str) -> Json {
    let key = secp256k1::SecretKey::from_byte_array([7; 32]).unwrap();
    let payload = sign(&terms(1, PAYEE));
    let from = payload.get("authorization").and_then(|signed| signed.get("from")).unwrap().as_str().unwrap();
    let wire = x402::Authorization {
        from: from.to_owned(),
        to: PAYEE.to_owned(),
        value: value.to_owned(),
        valid_after: "0".to_owned(),
        valid_before: valid_before.to_owned(),
        nonce: format!("0x{}", "ab".repeat(32)),
    };
    let mut token = [0; 20];
    hex::decode_to_slice(&BASE_USDC[2..], &mut token).unwrap();
    let separator = domain_separator("USD Coin", "2", 8453, token.into());
    let digest = Authorization::read(&wire).unwrap().digest(&separator);
    let message = secp256k1::Message::from_digest(digest.0);
    let (id, bytes) = secp256k1::SECP256K1.sign_ecdsa_recoverable(message, &key).serialize_compact();
    let signature = format!("0x{}{:02x}", hex::encode(bytes), 27 + i32::from(id));
    let wire = serde_json::to_string(&wire).unwrap();
    json(&format!(r#"{{"authorization":{wire},"signature":"{signature}"}}"#))
}
