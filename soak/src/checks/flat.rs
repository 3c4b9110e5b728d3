//! Whether the servers' memory stays flat over their longest life, and every descriptor is closed again.

use super::{Check, Finding};
use crate::samples::{Look, growth};

/// The part of a server's last life that is for warming up: this many hundredths of its calls, and at least so many
/// seconds. Answers are kept for one minute, and until then there are more of them every second.
const WARM_UP: u64 = 25;
const WARM_UP_S: u64 = 90;

/// A shorter life after that says nothing.
const TELLING_S: u64 = 120;

/// What memory may grow besides what each call may leave: allocators and page caches breathe.
const BREATH_KIB: u64 = 4 * 1024;

/// What each call may leave: a third of one payment's key. The gateway's table of the last 65,536 payments takes 40.
const BYTES_PER_CALL: u64 = 64;

/// How many descriptors more there may be at rest after the run than before it. Under load they follow the connections.
pub(crate) const DESCRIPTORS: u64 = 24;

/// One server over its last life.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Flatness {
    pub(crate) server: String,
    /// Over how many of the run's calls, and seconds, it was watched after warming up.
    pub(crate) calls: u64,
    pub(crate) seconds: u64,
    /// By how much its memory grew, by the line of least squares, and by how much it may.
    pub(crate) grown_kib: i64,
    pub(crate) allowed_kib: u64,
    pub(crate) most_kib: u64,
    /// Descriptors before the first call, when every connection had ended after the last, and the most between.
    pub(crate) descriptors_before: u64,
    pub(crate) descriptors_after: u64,
    pub(crate) most_descriptors: u64,
}

pub(crate) fn all(looks: &[(String, Vec<Look>)], at_rest: &[(u64, u64)]) -> Vec<Flatness> {
    looks
        .iter()
        .zip(at_rest)
        .map(|((server, looks), at_rest)| Flatness::of(server, looks, *at_rest))
        .collect()
}

impl Flatness {
    fn of(server: &str, looks: &[Look], at_rest: (u64, u64)) -> Self {
        let life = last_life(looks);
        let series =
            |part: fn(&Look) -> u64| life.iter().map(|look| (look.paid, part(look))).collect::<Vec<_>>();
        let (memory, descriptors) =
            (series(|look| look.usage.memory_kib), series(|look| look.usage.descriptors));
        let (calls, seconds) = match (life.first(), life.last()) {
            (Some(first), Some(last)) => (last.paid - first.paid, last.second - first.second),
            _ => (0, 0),
        };
        let most = |series: &[(u64, u64)]| series.iter().map(|(_, value)| *value).max().unwrap_or_default();
        Self {
            server: server.to_owned(),
            calls,
            seconds,
            grown_kib: rounded(growth(&memory)),
            allowed_kib: BREATH_KIB + calls * BYTES_PER_CALL / 1024,
            most_kib: most(&memory),
            descriptors_before: at_rest.0,
            descriptors_after: at_rest.1,
            most_descriptors: most(&descriptors),
        }
    }

    pub(super) fn checks(&self) -> [Check; 2] {
        let memory = format!(
            "{}: {:+} KiB over {} calls (at most {:+} KiB), never more than {} MiB",
            self.server,
            self.grown_kib,
            self.calls,
            self.allowed_kib,
            self.most_kib.div_ceil(1024)
        );
        let descriptors = format!(
            "{}: {} at rest before, {} after (at most {DESCRIPTORS} more), up to {} under load",
            self.server, self.descriptors_before, self.descriptors_after, self.most_descriptors
        );
        let closed =
            self.descriptors_after > 0 && self.descriptors_after <= self.descriptors_before + DESCRIPTORS;
        [
            Check::new("Memory is flat", self.memory(memory)),
            Check::new(
                "Every descriptor is closed again",
                if closed { Ok(descriptors) } else { Err(descriptors) },
            ),
        ]
    }

    fn memory(&self, text: String) -> Finding {
        if self.seconds < TELLING_S {
            let why =
                format!("{}: not judged, {} s after warming up are too short", self.server, self.seconds);
            return Ok(why);
        }
        let is_flat = u64::try_from(self.grown_kib).map_or(true, |grown| grown <= self.allowed_kib);
        if is_flat { Ok(text) } else { Err(text) }
    }
}

/// What was seen of the last process, after it warmed up.
fn last_life(looks: &[Look]) -> Vec<Look> {
    let Some(last) = looks.last() else { return Vec::new() };
    let life: Vec<_> = looks.iter().filter(|look| look.usage.pid == last.usage.pid).copied().collect();
    let (first, second) = life.first().map_or((0, 0), |look| (look.paid, look.second));
    let warm = first + (last.paid - first) * WARM_UP / 100;
    life.into_iter().filter(|look| look.paid >= warm && look.second >= second + WARM_UP_S).collect()
}

fn rounded(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "it is a measurement, far below the bounds")]
    let rounded = value.round() as i64;
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servers::Usage;

    fn life(pid: u32, grows_kib_per_call: u64) -> Vec<Look> {
        let usage = |paid| Usage { pid, memory_kib: 20_000 + paid * grows_kib_per_call, descriptors: 50 };
        (0..1_000)
            .map(|second| Look { second, paid: second * 10, usage: usage(second * 10), ledger_bytes: 0 })
            .collect()
    }

    #[test]
    fn a_leak_of_a_kilobyte_per_call_is_noticed_and_an_earlier_life_does_not_count() {
        let after_rest = |looks: &[Look], after| {
            Flatness::of("gateway", looks, (20, after)).checks().iter().all(|check| check.passed)
        };
        let passed = |looks: &[Look]| after_rest(looks, 25);
        assert!(passed(&life(1, 0)));
        assert!(!after_rest(&life(1, 0), 60), "descriptors that stay open");
        assert!(!passed(&life(1, 1)));
        assert!(passed(&life(1, 1)[..100]), "too short to tell");
        let mut two = life(1, 5);
        two.extend(life(2, 0));
        assert!(passed(&two));
    }
}
