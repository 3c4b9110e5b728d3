//! Whether the books agree, to the base unit, and the servers stayed flat.

mod flat;
mod ledger;
mod money;

use std::collections::{BTreeMap, HashMap};

use crate::Failure;
use crate::books::{self, Bought, ChainLogs, Sold};
use crate::drive::Driven;
use crate::plan::Plan;
use crate::samples::Look;
use crate::upstream::Seen;
use crate::world::World;

pub(crate) use flat::{DESCRIPTORS, Flatness};
pub(crate) use money::Row;

/// Everything that the checks look at.
pub(crate) struct Evidence {
    pub(crate) plan: Plan,
    pub(crate) accounts: Vec<(String, String)>,
    pub(crate) before: BTreeMap<String, u128>,
    pub(crate) after: BTreeMap<String, u128>,
    pub(crate) logs: ChainLogs,
    /// All wallets' purchases.
    pub(crate) purchases: Vec<Bought>,
    /// Both gateways' claims.
    pub(crate) claims: Vec<Sold>,
    /// All settlements, of the facilitator in the first gateway and of the one by itself.
    pub(crate) settlements: Vec<Sold>,
    pub(crate) seen: HashMap<u64, Seen>,
    pub(crate) complaints: BTreeMap<String, u64>,
    /// By buyer: what the lifetime budget counts, in dollars, and the sum that it should.
    pub(crate) budgets: Vec<(String, String, u128)>,
    /// By ledger: what `farthing ledger verify` said, and whether it was content.
    pub(crate) verified: Vec<(String, bool, String)>,
    /// By server: what it used.
    pub(crate) looks: Vec<(String, Vec<Look>)>,
    /// By server: its descriptors before the first call, and after the last connection.
    pub(crate) at_rest: Vec<(u64, u64)>,
    /// Lines of the servers' logs that tell of a defect.
    pub(crate) panics: Vec<String>,
    pub(crate) ends: BTreeMap<String, u64>,
    pub(crate) odd: Vec<String>,
}

/// One thing that was checked.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) passed: bool,
    /// The figures, or the first thing that does not agree.
    pub(crate) detail: String,
}

/// The figures where all is well, the first disagreement where not.
type Finding = Result<String, String>;

impl Check {
    fn new(name: &str, finding: Finding) -> Self {
        let passed = finding.is_ok();
        Self { name: name.to_owned(), passed, detail: finding.unwrap_or_else(|why| why) }
    }
}

/// All checks, in the order in which a reader wants them.
pub(crate) fn all(evidence: &Evidence) -> Vec<Check> {
    let mut checks = vec![
        Check::new("Every account agrees in five books, to the base unit", money::table(evidence)),
        Check::new("Every payment is the same in all books", money::payment_by_payment(evidence)),
        Check::new("Nothing moved on the chain but what was bought", money::nothing_else(evidence)),
        Check::new("No call was paid twice", ledger::once(evidence)),
        Check::new("Every answer that was given out was settled once", ledger::served_is_settled(evidence)),
        Check::new("No failed call was charged", ledger::failed_is_free(evidence)),
        Check::new("Every paid answer is with its buyer, byte for byte", ledger::answered(evidence)),
        Check::new(
            "Nothing is left reserved, and budgets count what was spent",
            ledger::nothing_reserved(evidence),
        ),
        Check::new("Nothing is left on its way", ledger::nothing_open(evidence)),
        Check::new("Every journal verifies", ledger::journals(evidence)),
        Check::new("The API saw what was sent, and no payment", ledger::api(evidence)),
        Check::new("Nobody panicked, and nothing odd was answered", ledger::nothing_odd(evidence)),
    ];
    checks.extend(flat::all(&evidence.looks, &evidence.at_rest).iter().flat_map(Flatness::checks));
    checks
}

pub(crate) fn flatness(evidence: &Evidence) -> Vec<Flatness> {
    flat::all(&evidence.looks, &evidence.at_rest)
}

pub(crate) fn table(evidence: &Evidence) -> Vec<Row> {
    money::rows(evidence)
}

impl Evidence {
    pub(crate) async fn gather(
        world: &World,
        driven: &Driven,
        looks: Vec<Vec<Look>>,
    ) -> Result<Self, Failure> {
        let mut budgets = Vec::new();
        for buyer in &world.buyers {
            budgets.push(ledger::budget(buyer).await?);
            buyer.close().await?;
        }
        let (mut purchases, mut claims, mut settlements) = (Vec::new(), Vec::new(), Vec::new());
        for (_, file) in world.wallets() {
            purchases.extend(books::purchases(&file)?);
        }
        for server in &world.servers {
            claims.extend(books::claims(&server.ledger)?);
            settlements.extend(books::settlements(&server.ledger)?);
        }
        let names = world.servers.iter().map(|server| server.name.to_owned());
        let odd = driven.seen.iter().filter(|(what, _)| what.starts_with("odd"));
        Ok(Self {
            plan: world.plan,
            accounts: world.accounts.iter().map(|(name, at)| (name.clone(), books::text(*at))).collect(),
            before: world.before.clone(),
            after: world.balances().await?,
            logs: ChainLogs::read(&world.chain, world.first_block).await?,
            purchases,
            claims,
            settlements,
            seen: world.upstream.seen(),
            complaints: world.upstream.complaints().all(),
            budgets,
            verified: ledger::verify(world).await?,
            looks: names.zip(looks).collect(),
            at_rest: driven.at_rest.clone(),
            panics: ledger::panics(world)?,
            ends: driven.ends.clone(),
            odd: odd.map(|(what, count)| format!("{what} ({count} times)")).collect(),
        })
    }

    /// Purchases that are paid, as their wallets have it.
    fn paid(&self) -> impl Iterator<Item = &Bought> {
        self.purchases.iter().filter(|purchase| purchase.state == "paid")
    }
}
