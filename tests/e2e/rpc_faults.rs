//! The chain's endpoint fails, lies, stalls and reorders, for the seller and for the buyer: what they say, what they
//! keep, and that nothing is paid twice or called settled that is not on the chain.

use std::time::Duration;

use farthing_devnet::faulty::{Fault, FaultyRpc, Rule};
use serde_json::{Value, json};

use crate::world::{ROUTES, World, free_port, local_chain, start_server};

const SEND: &str = "eth_sendRawTransaction";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// How long the buyer waits for a seller whose settlement is unknown.
const PATIENCE_S: &str = "6";

const WEATHER: &str = "/weather/berlin";

/// A world whose seller and buyer reach the chain through endpoints that can be broken.
struct Faulty {
    world: World,
    seller: FaultyRpc,
    buyer: FaultyRpc,
}

/// A value of `networks` that settles on the chain through these endpoints, and waits for a receipt only shortly.
fn networks(urls: &[String]) -> String {
    let network = json!({"rpc": urls, "signers": [{"env": "SIGNER_KEY"}], "receipt_wait_seconds": 2});
    format!("networks: {{base-sepolia: {network}}}")
}

impl Faulty {
    async fn start() -> Self {
        Self::with(async |seller, _| format!("{{in_process: {{{}}}}}", networks(&[seller.to_owned()]))).await
    }

    /// With this value of `facilitator` in gateway.yaml, made of the faulty endpoint's URL and the chain's own.
    async fn with(facilitator: impl AsyncFnOnce(&str, &str) -> String) -> Self {
        let chain = local_chain().await;
        let seller = FaultyRpc::before(chain.rpc_url()).await.unwrap();
        let buyer = FaultyRpc::before(chain.rpc_url()).await.unwrap();
        let facilitator = facilitator(&seller.url(), chain.rpc_url()).await;
        let world = World::settled_by(chain, &facilitator, ROUTES, "").await;
        let config = format!("version: 1\nnetworks:\n  base-sepolia: {{rpc: [\"{}\"]}}\n", buyer.url());
        std::fs::write(world.wallet.home.join("config.yaml"), config).unwrap();
        Self { world, seller, buyer }
    }

    /// Fetches once, with this exit code; returns what was printed.
    async fn fetch(&self, exit: i32) -> Value {
        self.fetch_within(PATIENCE_S, exit).await
    }

    async fn fetch_within(&self, seconds: &str, exit: i32) -> Value {
        self.world.wallet.json(&["fetch", &self.world.at(WEATHER), "--timeout", seconds], exit).await
    }

    /// Sends the newest purchase's payment again, until its answer is there.
    async fn resume(&self) -> Value {
        let id = self.world.wallet.newest().await["id"].as_str().unwrap().to_owned();
        let url = self.world.at(WEATHER);
        let ask = ["fetch", &url, "--resume", &id, "--json", "--timeout", PATIENCE_S];
        for _ in 0..5 {
            let done = self.world.wallet.run(&ask).await;
            if done.status.success() {
                return serde_json::from_slice(&done.stdout).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never answered: {}", self.world.wallet.newest().await);
    }

    fn gateway_log(&self) -> String {
        std::fs::read_to_string(self.world.folder.path().join("gateway.log")).unwrap()
    }

    /// Nothing shows a key, and the wallet's record is whole.
    async fn assert_sound(&self) {
        assert!(!self.gateway_log().contains("SECRETKEY"), "{}", self.gateway_log());
        self.world.wallet.assert_whole().await;
    }

    /// What the wallet paid, by its own record.
    async fn paid_purchases(&self) -> usize {
        let all = self.world.wallet.json(&["history"], 0).await;
        all["purchases"].as_array().unwrap().iter().filter(|one| one["state"] == "paid").count()
    }
}

/// Ways in which an endpoint answers nobody.
fn dead() -> [Fault; 5] {
    let limited = Fault::Http { status: 429, retry_after_s: Some(1), body: "slow down" };
    [Fault::ResetBefore, Fault::page(502), limited, Fault::Truncated, Fault::WrongIds]
}

#[tokio::test]
async fn a_seller_without_a_chain_serves_nobody_and_comes_back() {
    let faulty = Faulty::start().await;
    for (place, fault) in dead().into_iter().enumerate() {
        faulty.seller.add(Rule::always(fault.clone()));
        // A rate that is limited is waited for, for over four seconds.
        let answer = faulty.fetch_within("30", 6).await;
        assert_eq!(answer["status"], 503, "{fault:?}: {answer}");
        assert_eq!(faulty.world.wallet.newest().await["state"], "unknown", "{fault:?}");
        assert_eq!(faulty.world.upstream.served(), place as u64, "{fault:?}: served unverified");
        faulty.seller.heal();
        assert_eq!(faulty.resume().await["status"], 200, "{fault:?}: the same payment is taken later");
        assert_eq!(faulty.world.earned().await, 2_000 * (place as u64 + 1), "{fault:?}");
    }
    let (log, host) = (faulty.gateway_log(), faulty.seller.url());
    assert!(log.contains("eip155:84532") && log.contains(host.trim_end_matches("/v2/SECRETKEY")), "{log}");
    assert_eq!(faulty.paid_purchases().await, dead().len());
    faulty.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_to_the_sending_is_found_out_at_once() {
    let faulty = Faulty::start().await;
    for (count, fault) in [Fault::ResetAfter, Fault::Truncated, Fault::Broken].into_iter().enumerate() {
        faulty.seller.add(Rule::on(SEND, fault.clone()));
        assert_eq!(faulty.fetch_within("30", 0).await["status"], 200, "{fault:?}");
        assert_eq!(faulty.world.earned().await, 2_000 * (count as u64 + 1), "{fault:?}");
        faulty.seller.heal();
    }
    faulty.assert_sound().await;
}

/// The receipt is late or nobody can be asked for it: the answer is withheld, and given for the same payment later.
#[tokio::test]
async fn an_unknown_settlement_withholds_the_answer_until_it_is_known() {
    let faulty = Faulty::start().await;
    let late = Fault::lie(|_, _| Value::Null);
    for (count, fault) in [late, Fault::Behind(1)].into_iter().enumerate() {
        faulty.seller.add(Rule::on(RECEIPT, fault.clone()));
        let answer = faulty.fetch(6).await;
        assert!(!answer.to_string().contains("berlin\\\"}"), "{fault:?}: given away: {answer}");
        assert_ne!(faulty.world.wallet.newest().await["state"], "paid", "{fault:?}");
        faulty.seller.heal();
        let answer = faulty.resume().await;
        assert_eq!(answer["status"], 200, "{fault:?}: {answer}");
        assert_eq!(faulty.world.earned().await, 2_000 * (count as u64 + 1), "{fault:?}: paid once");
        assert_eq!(faulty.world.upstream.served(), count as u64 + 1, "{fault:?}: served once");
    }
    assert_eq!(faulty.paid_purchases().await, 2);
    faulty.assert_sound().await;
}

#[tokio::test]
async fn a_refused_transaction_is_not_served_and_not_charged() {
    let faulty = Faulty::start().await;
    for words in ["insufficient funds for gas * price + value", "txpool is full"] {
        faulty.seller.add(Rule::on(SEND, Fault::error(-32000, words)));
        let answer = faulty.fetch(6).await;
        assert!(!answer.to_string().contains("berlin\\\"}"), "{words}: given away: {answer}");
        assert_eq!(faulty.world.earned().await, 0, "{words}");
        assert_ne!(faulty.world.wallet.newest().await["state"], "paid", "{words}");
        faulty.seller.heal();
    }
    assert_eq!(faulty.fetch_within("30", 0).await["status"], 200);
    assert_eq!((faulty.world.earned().await, faulty.paid_purchases().await), (2_000, 1));
    faulty.world.chain.increase_time_s(3_600).await.unwrap();
    faulty.world.wallet.ok(&["reconcile"]).await;
    let all = faulty.world.wallet.json(&["history"], 0).await;
    let states: Vec<&Value> = all["purchases"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states.iter().filter(|state| **state == "not_paid").count(), 2, "{states:?}");
    faulty.assert_sound().await;
}

#[tokio::test]
async fn a_reorganisation_takes_nothing_from_the_seller() {
    let faulty = Faulty::start().await;
    assert_eq!(faulty.fetch_within("30", 0).await["status"], 200);
    faulty.world.chain.rpc("anvil_reorg", json!([1, []])).await.unwrap();
    assert_eq!(faulty.world.earned().await, 0, "the payment is gone from the chain");
    for _ in 0..1200 {
        if faulty.world.earned().await == 2_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(faulty.world.earned().await, 2_000, "{}", faulty.gateway_log());
    assert!(faulty.gateway_log().contains("reorganisation"), "the operator is told");
    assert_eq!(faulty.fetch_within("30", 0).await["status"], 200);
    assert_eq!(faulty.world.earned().await, 4_000);
    faulty.assert_sound().await;
}

#[tokio::test]
async fn a_second_endpoint_keeps_the_seller_selling() {
    let faulty = Faulty::with(async |seller, chain| {
        format!("{{in_process: {{{}}}}}", networks(&[seller.to_owned(), chain.to_owned()]))
    })
    .await;
    let wrong_chain = Rule::on("eth_chainId", Fault::lie(|_, _| json!("0x2105")));
    let rules = dead().map(Rule::always).into_iter().chain([wrong_chain, Rule::on(SEND, Fault::ResetAfter)]);
    for (count, rule) in rules.enumerate() {
        faulty.seller.heal();
        faulty.seller.add(rule.clone());
        assert_eq!(faulty.fetch_within("30", 0).await["status"], 200, "{rule:?}: {}", faulty.gateway_log());
        assert_eq!(faulty.world.earned().await, 2_000 * (count as u64 + 1), "{rule:?}");
    }
    faulty.assert_sound().await;
}

#[tokio::test]
async fn a_remote_facilitator_without_a_chain_says_so_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("facilitator.yaml");
    let mut child = None;
    let faulty = Faulty::with(async |seller, _| {
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let config = format!("listen: 127.0.0.1:{port}\n{}\n", networks(&[seller.to_owned()]));
        std::fs::write(&file, config).unwrap();
        child = Some(start_server("facilitator", &file, &url).await);
        format!("{{url: \"{url}\"}}")
    })
    .await;
    faulty.seller.add(Rule::always(Fault::page(502)));
    let answer = faulty.fetch(6).await;
    assert_eq!((&answer["status"], faulty.world.upstream.served()), (&json!(503), 0), "{answer}");
    faulty.seller.heal();
    assert_eq!(faulty.resume().await["status"], 200);
    assert_eq!(faulty.world.earned().await, 2_000);
    let log = std::fs::read_to_string(file.with_extension("log")).unwrap();
    let host = faulty.seller.url();
    assert!(log.contains("eip155:84532") && log.contains(host.trim_end_matches("/v2/SECRETKEY")), "{log}");
    assert!(!log.contains("SECRETKEY"), "{log}");
    faulty.assert_sound().await;
    drop(child);
}

#[tokio::test]
async fn the_wallet_says_which_endpoint_fails_and_forgets_nothing() {
    let faulty = Faulty::start().await;
    // A payment that nobody settles, to be asked about.
    faulty.seller.add(Rule::on(SEND, Fault::error(-32000, "insufficient funds")));
    faulty.fetch(6).await;
    let host = faulty.buyer.url().trim_end_matches("/v2/SECRETKEY").to_owned();
    let wrong_chain = Rule::on("eth_chainId", Fault::lie(|_, _| json!("0x2105")));
    let rules = dead().map(Rule::always).into_iter().chain([wrong_chain]);
    for rule in rules {
        faulty.buyer.add(rule.clone());
        let balance = faulty.world.wallet.json(&["balance"], 3).await.to_string();
        let reconciled = faulty.world.wallet.json(&["reconcile"], 3).await.to_string();
        for said in [balance, reconciled] {
            assert!(said.contains(&host) && said.contains("eip155:84532"), "{rule:?}: {said}");
            assert!(!said.contains("SECRETKEY"), "{rule:?}: {said}");
        }
        assert_eq!(faulty.world.wallet.newest().await["state"], "unknown", "{rule:?}");
        faulty.buyer.heal();
    }
    // One that lags says that the signature is still good, although the chain's time is past its end.
    faulty.world.chain.increase_time_s(3_600).await.unwrap();
    faulty.world.chain.mine().await.unwrap();
    faulty.buyer.add(Rule::always(Fault::Behind(2)));
    faulty.world.wallet.ok(&["reconcile"]).await;
    assert_eq!(faulty.world.wallet.newest().await["state"], "unknown");
    faulty.buyer.heal();
    faulty.world.wallet.ok(&["reconcile"]).await;
    assert_eq!(faulty.world.wallet.newest().await["state"], "not_paid");
    faulty.assert_sound().await;
}

#[tokio::test]
async fn the_wallet_pays_while_its_own_endpoint_is_down() {
    let faulty = Faulty::start().await;
    faulty.buyer.add(Rule::always(Fault::page(502)));
    assert_eq!(faulty.fetch_within("30", 0).await["status"], 200, "paying asks no chain");
    assert_eq!((faulty.world.earned().await, faulty.paid_purchases().await), (2_000, 1));
    faulty.assert_sound().await;
}
