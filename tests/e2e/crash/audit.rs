//! What must hold whatever died: asked of the chain, the ledgers and the files, not of those who wrote them.

use std::collections::{BTreeMap, BTreeSet};

use farthing_devnet::accounts::PAYEE;
use farthing_ledger::{Purchase, PurchaseFilter, PurchaseState, ResponseRecord};
use farthing_wallet::BodyStore;
use serde_json::{Value, json};

use super::shop::{FUNDS, PRICE, Shop, body_of, read_ledger, shown, until};
use crate::world::Wallet;

/// `AuthorizationUsed(address,bytes32)`.
const AUTHORIZATION_USED: &str = "0x98de503528ee59b575ef0c0a2576a82497bfc029a5685b209e9ec333479b10a5";

/// What an audit counted.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) purchases: usize,
    pub(crate) paid: usize,
    /// Base units.
    pub(crate) moved: u64,
}

impl Shop {
    /// Lets what is unknown expire, reconciles, and asks for all that must hold once nothing is open any more.
    pub(crate) async fn close_the_books(&self) -> Figures {
        self.jump(3_600).await;
        for wallet in &self.wallets {
            let done = self.run(wallet, &["reconcile", "--json"], None).await;
            assert!(done.status.success(), "{}", shown(&done));
            let said: Value = serde_json::from_slice(&done.stdout).unwrap();
            let open = |one: &&Value| !one["still_unknown"].is_null();
            let left: Vec<_> = said["reconciled"].as_array().unwrap().iter().filter(open).collect();
            assert!(left.is_empty(), "an hour later nothing can be open: {left:?}");
        }
        let figures = self.audit().await;
        for wallet in &self.wallets {
            for purchase in bought(wallet).await {
                let answered = purchase.response.as_ref().is_some_and(is_whole);
                match purchase.state {
                    PurchaseState::Paid => assert!(answered, "paid, and the body is lost: {purchase:?}"),
                    state => assert_eq!(state, PurchaseState::NotPaid, "{purchase:?}"),
                }
            }
        }
        figures
    }

    /// What holds at every moment.
    pub(crate) async fn audit(&self) -> Figures {
        self.chain_at_rest().await;
        let mut figures = Figures::default();
        for wallet in &self.wallets {
            let purchases = bought(wallet).await;
            let (paid, moved) = self.paid_once(wallet, &purchases).await;
            self.within_the_cap(wallet, &purchases).await;
            receipts_are_whole(wallet, &purchases);
            self.whole(wallet, None).await;
            figures.purchases += purchases.len();
            figures.paid += paid;
            figures.moved += moved;
        }
        let earned: u64 = self.chain.balance_of(PAYEE.address).await.unwrap().to_string().parse().unwrap();
        assert_eq!(earned, figures.moved, "the payee holds what the payers paid");
        for upstream in &self.upstreams {
            assert_eq!(upstream.unclaimed(), Vec::<String>::new(), "served without a claim");
        }
        for server in self.gateways.iter().chain(&self.facilitator) {
            if server.ledger().exists() {
                self.whole(&self.wallets[0], Some(server.ledger().to_str().unwrap())).await;
            }
        }
        figures
    }

    /// What a process sent before it died may come into a block between two of our questions.
    async fn chain_at_rest(&self) {
        until("the chain to be at rest", async || {
            let pool = self.chain.rpc("txpool_status", json!([])).await.unwrap();
            (pool["pending"] == "0x0").then_some(())
        })
        .await;
    }

    /// Every authorization that the chain saw belongs to one purchase, which knows that it is paid; and the money that
    /// left is theirs, to the base unit.
    async fn paid_once(&self, wallet: &Wallet, purchases: &[Purchase]) -> (usize, u64) {
        let used = self.authorizations_used(&wallet.address).await;
        let nonces: BTreeMap<String, &Purchase> = purchases
            .iter()
            .filter_map(|purchase| Some((nonce(purchase.signed.as_ref()?.key.as_str()), purchase)))
            .collect();
        let signed = purchases.iter().filter(|purchase| purchase.signed.is_some()).count();
        assert_eq!(nonces.len(), signed, "no two purchases share a nonce");
        for one in &used {
            let purchase = nonces.get(one).unwrap_or_else(|| panic!("nobody's payment: {one}"));
            assert_ne!(purchase.state, PurchaseState::NotPaid, "given back, and paid: {purchase:?}");
        }
        for (nonce, purchase) in &nonces {
            let is_paid = purchase.state == PurchaseState::Paid;
            assert!(!is_paid || used.contains(nonce), "paid, says the ledger alone: {purchase:?}");
        }
        let held = self.chain.balance_of(wallet.address.parse().unwrap()).await.unwrap();
        let moved = FUNDS - held.to_string().parse::<u64>().unwrap();
        assert_eq!(moved, used.len() as u64 * PRICE, "each authorization moved its price");
        (used.len(), moved)
    }

    /// The nonces that a payer's authorizations have used up. The chain takes each once; twice would be its defect.
    async fn authorizations_used(&self, payer: &str) -> BTreeSet<String> {
        let topic = format!("0x{:0>64}", payer.trim_start_matches("0x").to_lowercase());
        let filter = json!([{
            "fromBlock": "0x0", "toBlock": "latest", "address": self.chain.usdc().to_string(),
            "topics": [AUTHORIZATION_USED, topic],
        }]);
        let logs = self.chain.rpc("eth_getLogs", filter).await.unwrap();
        let logs = logs.as_array().unwrap();
        let used: BTreeSet<_> =
            logs.iter().map(|log| log["topics"][2].as_str().unwrap().to_lowercase()).collect();
        assert_eq!(used.len(), logs.len());
        used
    }

    /// What is spent and reserved is what the purchases say, and with what remains it is the cap.
    async fn within_the_cap(&self, wallet: &Wallet, purchases: &[Purchase]) {
        let done = self.run(wallet, &["balance", "--json"], None).await;
        assert!(done.status.success(), "{}", shown(&done));
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        let budget = &said["budgets"][0];
        let (used, remaining) = (base_units(&budget["used"]), base_units(&budget["remaining"]));
        let holding = purchases.iter().filter(|purchase| purchase.state != PurchaseState::NotPaid);
        assert_eq!(used, holding.count() as u64 * PRICE, "the budget counts what is spent and reserved");
        assert_eq!(used + remaining, base_units(&budget["max"]), "the cap holds: {budget}");
    }

    /// The ledger's hashes chain, and its records are what the journal says.
    async fn whole(&self, wallet: &Wallet, file: Option<&str>) {
        let mut args = vec!["ledger", "verify"];
        args.extend(file.iter().flat_map(|file| ["--file", *file]));
        let done = self.run(wallet, &args, None).await;
        assert!(done.status.success(), "{file:?}: {}", shown(&done));
    }
}

/// Every purchase of a wallet, from its file.
pub(crate) async fn bought(wallet: &Wallet) -> Vec<Purchase> {
    let ledger = read_ledger(&wallet.home.join("ledger.db"));
    let purchases = ledger.purchases(PurchaseFilter::default()).await.unwrap();
    ledger.close().await.unwrap();
    purchases
}

/// Whether an answer is what was bought: not a refusal, and not the part that came before a connection broke.
fn is_whole(response: &ResponseRecord) -> bool {
    response.status == 200 && !response.body_file.as_deref().is_some_and(BodyStore::is_partial)
}

/// An answer that stands in the ledger stands on the disk, and is the one that was bought.
fn receipts_are_whole(wallet: &Wallet, purchases: &[Purchase]) {
    for purchase in purchases {
        let Some(response) = purchase.response.as_ref().filter(|response| is_whole(response)) else {
            continue;
        };
        let file = wallet.home.join(response.body_file.as_ref().unwrap());
        let body = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let url: http::Uri = purchase.terms.url.parse().unwrap();
        assert_eq!(body, body_of(url.path()));
        assert_eq!(body.len() as u64, response.body_bytes);
    }
}

fn nonce(key: &str) -> String {
    key.rsplit('/').next().unwrap().to_lowercase()
}

/// `"$0.002"` in base units.
fn base_units(price: &Value) -> u64 {
    let text = price.as_str().unwrap_or_else(|| panic!("{price}")).trim_start_matches('$');
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{part:0<6}").parse().unwrap()
}
