//! What is done to the servers and the node while the calls are made: when and what follows from the seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::Failure;
use crate::plan::Plan;
use crate::samples::Samples;
use crate::servers::Signal;
use crate::world::World;

/// How long the node is away.
const AWAY: Duration = Duration::from_secs(8);

/// How often it is looked whether something is due.
const LOOK: Duration = Duration::from_millis(100);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// A server is ended and started again.
    Restart(usize, Signal),
    /// The whole node is off the network.
    Away,
}

/// What was done, for the report.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) second: u64,
    pub(crate) what: String,
}

/// Between which hundredths of the run's calls each deed falls. Restarts come early, so that the lives after them are
/// long enough to see a leak.
const DEEDS: [(u64, u64, Deed); 10] = [
    (3, 6, Deed::Restart(0, Signal::Kill)),
    (6, 9, Deed::Restart(1, Signal::Kill)),
    (9, 12, Deed::Restart(2, Signal::Kill)),
    (12, 15, Deed::Restart(0, Signal::Term)),
    (15, 18, Deed::Away),
    (18, 21, Deed::Restart(1, Signal::Term)),
    (21, 24, Deed::Restart(2, Signal::Term)),
    (24, 30, Deed::Restart(0, Signal::Kill)),
    (45, 55, Deed::Away),
    (70, 85, Deed::Away),
];

fn schedule(plan: Plan, calls: u64) -> Vec<(u64, Deed)> {
    let mut due = Vec::new();
    for (index, (from, to, deed)) in (0u64..).zip(DEEDS) {
        let thousandth = from * 10 + plan.dice.below((to - from) * 10, "deed", &[index]);
        due.push((calls * thousandth / 1_000, deed));
    }
    due
}

/// Does one thing after the other, each when so many calls are paid.
pub(crate) async fn make(
    world: &World,
    calls: u64,
    paid: &AtomicU64,
    samples: &Samples,
    events: &mut Vec<Event>,
) -> Result<(), Failure> {
    for (due, deed) in schedule(world.plan, calls) {
        while paid.load(Ordering::Relaxed) < due {
            tokio::time::sleep(LOOK).await;
        }
        let second = samples.elapsed().as_secs();
        let what = match deed {
            Deed::Away => {
                world.node.set_away(true);
                tokio::time::sleep(AWAY).await;
                world.node.set_away(false);
                format!("the node was away for {} s", AWAY.as_secs())
            }
            Deed::Restart(index, signal) => restart(world, index, signal).await?,
        };
        events.push(Event { second, what });
    }
    Ok(())
}

async fn restart(world: &World, index: usize, signal: Signal) -> Result<String, Failure> {
    let server = world.servers.get(index).ok_or("no such server")?;
    server.end(signal).await?;
    server.start().await?;
    let how = if signal == Signal::Kill { "killed (SIGKILL)" } else { "stopped (SIGTERM)" };
    Ok(format!("{} was {how} and started again", server.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeds_come_in_order_and_follow_from_the_seed() {
        let due: Vec<_> = schedule(Plan::new(1), 1_000).iter().map(|(due, _)| *due).collect();
        assert!(due.is_sorted() && due.iter().all(|due| *due < 1_000), "{due:?}");
        assert_eq!(schedule(Plan::new(1), 1_000), schedule(Plan::new(1), 1_000));
        assert_ne!(schedule(Plan::new(1), 100_000), schedule(Plan::new(2), 100_000));
    }
}
