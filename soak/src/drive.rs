//! The calls: many at once until enough are paid, then everything open is brought to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Failure;
use crate::books;
use crate::buyers::{End, request};
use crate::checks::DESCRIPTORS;
use crate::counts::Counts;
use crate::plan::{Call, number_of};
use crate::samples::Samples;
use crate::terminal::Progress;
use crate::trouble::{self, Event};
use crate::world::World;

/// Without a paid call for so long, the run has failed.
const STALLED: Duration = Duration::from_secs(180);

/// How long settlements may take to end after the last call, and how often the chain is asked about the rest.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
const MOST_ROUNDS: u32 = 20;

/// How long connections may stay open unused: HTTP clients keep them for 90 s.
const AT_REST_WITHIN: Duration = Duration::from_secs(130);

/// How far the chain's time must be past the last authorization's end: the wallet's own margin, and a bit.
const PAST_S: u64 = 200;

/// What the calls left behind, besides what is in the books.
#[derive(Debug, Default)]
pub(crate) struct Driven {
    /// How many calls were made.
    pub(crate) calls: u64,
    pub(crate) paid: u64,
    /// How they ended.
    pub(crate) ends: BTreeMap<String, u64>,
    /// What buyers saw, try by try.
    pub(crate) seen: BTreeMap<String, u64>,
    pub(crate) events: Vec<Event>,
    pub(crate) took: Duration,
    /// Calls whose answers came only when buyers asked for them at the end.
    pub(crate) late: u64,
    /// By server: its descriptors before the first call, and after the last connection.
    pub(crate) at_rest: Vec<(u64, u64)>,
}

/// What the tasks of a run share.
struct Shared {
    world: Arc<World>,
    samples: Arc<Samples>,
    paid: AtomicU64,
    ends: Counts,
    seen: Counts,
}

pub(crate) async fn run(
    world: &Arc<World>,
    samples: &Arc<Samples>,
    wanted: u64,
    at_once: usize,
) -> Result<Driven, Failure> {
    let shared = Arc::new(Shared {
        world: world.clone(),
        samples: samples.clone(),
        paid: AtomicU64::new(0),
        ends: Counts::default(),
        seen: Counts::default(),
    });
    let mut driven = Driven::default();
    let before = descriptors(world);
    let trouble = trouble::make(world, wanted, &shared.paid, samples, &mut driven.events);
    let watched = watch(&shared, wanted);
    let calls = tokio::select! {
        (calls, troubled) = async { tokio::join!(make(&shared, wanted, at_once), trouble) } => {
            troubled?;
            calls?
        }
        stalled = watched => return Err(stalled),
    };
    driven.took = samples.elapsed();
    driven.calls = calls;
    Progress::note("every call has ended; settling down");
    settle_down(&shared, &mut driven).await?;
    Progress::note("waiting for idle connections to end");
    driven.at_rest = come_to_rest(world, &before).await;
    Progress::note("stopping the servers");
    world.stop_servers().await?;
    driven.paid = shared.paid.load(Ordering::Relaxed);
    (driven.ends, driven.seen) = (shared.ends.all(), shared.seen.all());
    Ok(driven)
}

/// Makes calls until so many are paid, never more at once than could still be needed; returns how many it took.
async fn make(shared: &Arc<Shared>, wanted: u64, at_once: usize) -> Result<u64, Failure> {
    let mut tasks = JoinSet::new();
    let mut number = 0;
    loop {
        let missing = wanted.saturating_sub(shared.paid.load(Ordering::Relaxed));
        let room = usize::try_from(missing)?.min(at_once);
        if tasks.len() >= room {
            match tasks.join_next().await {
                Some(ended) => ended??,
                None => return Ok(number),
            }
            continue;
        }
        let (shared, call) = (shared.clone(), shared.world.plan.call(number));
        tasks.spawn(async move { shared.call(&call).await });
        number += 1;
    }
}

/// Looks at the servers every second; ends only when nothing moves any more.
async fn watch(shared: &Arc<Shared>, wanted: u64) -> Failure {
    let mut progress = Progress::new(wanted);
    let (mut moved, mut last) = (Instant::now(), 0);
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        let paid = shared.paid.load(Ordering::Relaxed);
        let failures = shared.world.node.faults().sum() + shared.world.upstream.failures().sum();
        shared.samples.look(&shared.world.servers, paid, failures);
        progress.show(paid, failures);
        if paid > last {
            (moved, last) = (Instant::now(), paid);
        }
        if moved.elapsed() > STALLED {
            return format!("nothing was paid for {} s; {paid} of {wanted} were", STALLED.as_secs()).into();
        }
    }
}

impl Shared {
    async fn call(&self, call: &Call) -> Result<(), Failure> {
        let (world, began) = (&self.world, Instant::now());
        let request = request(world.plan, call, world.gateway(call.shop))?;
        let end = match call.buyer.and_then(|buyer| world.buyers.get(buyer)) {
            Some(buyer) => buyer.make(call, &request, None, &self.seen).await,
            None => world.by_command.make(world.plan, call, request.url.as_str(), &self.seen).await?,
        };
        if matches!(end, End::Answered | End::PaidRefusal) {
            self.paid.fetch_add(1, Ordering::Relaxed);
        }
        if end == End::Answered {
            self.samples.call(began.elapsed());
        }
        self.ends.add(name(end));
        Ok(())
    }
}

pub(crate) fn name(end: End) -> &'static str {
    match end {
        End::Answered => "paid and answered",
        End::Free => "free",
        End::NotCharged => "the API failed: not charged",
        End::PaidRefusal => "upfront, answered with 404: charged",
        End::GaveUp => "the buyer gave up",
        End::Odd => "ODD",
    }
}

/// Waits for settlements, has buyers come back for what they paid for, lets the rest expire, and asks the chain.
async fn settle_down(shared: &Arc<Shared>, driven: &mut Driven) -> Result<(), Failure> {
    let world = &shared.world;
    let deadline = Instant::now() + SETTLED_WITHIN;
    while Instant::now() < deadline && on_their_way(world)? > 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Progress::note("asking the chain about what buyers do not know");
    reconcile(world, 1).await?;
    driven.late = come_back(shared).await?;
    let expired = last_end(world)? + PAST_S;
    let now = world.chain.timestamp_s().await?;
    world.chain.increase_time_s(expired.saturating_sub(now)).await?;
    reconcile(world, MOST_ROUNDS).await?;
    Ok(())
}

/// Waits until the servers have closed what they opened for calls, or should have.
async fn come_to_rest(world: &World, before: &[u64]) -> Vec<(u64, u64)> {
    let deadline = Instant::now() + AT_REST_WITHIN;
    loop {
        let now = descriptors(world);
        let at_rest: Vec<_> = before.iter().copied().zip(now).collect();
        let closed = |(before, now): &(u64, u64)| *now <= before + DESCRIPTORS;
        if at_rest.iter().all(closed) || Instant::now() > deadline {
            return at_rest;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn descriptors(world: &World) -> Vec<u64> {
    world.servers.iter().map(|server| server.usage().map_or(0, |usage| usage.descriptors)).collect()
}

fn on_their_way(world: &World) -> Result<u64, Failure> {
    world.servers.iter().map(|server| books::on_their_way(&server.ledger)).sum()
}

/// Asks the chain until everything is known, or often enough; what is still open then, the checks find.
async fn reconcile(world: &World, rounds: u32) -> Result<(), Failure> {
    for _ in 0..rounds {
        let mut left = world.by_command.reconcile().await?;
        for buyer in &world.buyers {
            left += buyer.reconcile().await?;
        }
        if left == 0 {
            break;
        }
    }
    Ok(())
}

/// Buyers ask for the answers that they have paid for and not got.
async fn come_back(shared: &Arc<Shared>) -> Result<u64, Failure> {
    let mut late = 0;
    for buyer in &shared.world.buyers {
        for (id, url) in buyer.owed().await? {
            let number = number_of(&url).ok_or("a purchase of nothing that was called")?;
            let call = shared.world.plan.call(number);
            let request = request(shared.world.plan, &call, shared.world.gateway(call.shop))?;
            buyer.make(&call, &request, Some(id), &shared.seen).await;
            late += 1;
        }
    }
    Ok(late)
}

/// When the last authorization ends, in Unix seconds.
fn last_end(world: &World) -> Result<u64, Failure> {
    let mut last = 0;
    for (_, file) in world.wallets() {
        let ends = books::purchases(&file)?.into_iter().filter_map(|purchase| purchase.valid_before_ms);
        last = last.max(ends.max().unwrap_or_default());
    }
    Ok(u64::try_from(last / 1_000)?)
}
