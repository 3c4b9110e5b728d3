//! From many rounds to one table.

use std::io::{self, Write as _};
use std::time::Duration;

use crate::load::Took;

/// One round of one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    per_second: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Round {
    /// From what the load generator saw, and the processor time that the server used meanwhile.
    pub(crate) fn new(took: &Took, cpu: Duration) -> Self {
        let count = f64::from(u32::try_from(took.latencies.len()).unwrap_or(u32::MAX));
        Self {
            per_second: count / took.elapsed.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / count,
            p50_us: percentile(&took.latencies, 50),
            p99_us: percentile(&took.latencies, 99),
        }
    }
}

/// Microseconds; the latencies are sorted.
fn percentile(latencies: &[Duration], percent: usize) -> f64 {
    let at = (latencies.len() * percent / 100).min(latencies.len().saturating_sub(1));
    latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Every round of one kind of request, ours and the peer's, in the order in which they ran.
#[derive(Default)]
pub(crate) struct Comparison {
    /// Ours.
    pub(crate) ours: Vec<Round>,
    /// The peer's.
    pub(crate) peers: Vec<Round>,
}

/// The table's head.
pub(crate) fn head(peer: &str) -> String {
    format!(
        "| requests | farthing req/s | {peer} req/s | ratio | CPU us each, farthing / {peer} | p50 ms | p99 ms |\n\
         |---|---|---|---|---|---|---|"
    )
}

impl Comparison {
    /// A row of the table: medians, and the median of the rounds' ratios.
    pub(crate) fn row(&self, kind: &str) -> String {
        let of = |rounds: &[Round], part: fn(&Round) -> f64| median(rounds.iter().map(part).collect());
        let both = |part: fn(&Round) -> f64| (of(&self.ours, part), of(&self.peers, part));
        let (ours, peers) = both(|r| r.per_second);
        let (our_cpu, peers_cpu) = both(|r| r.cpu_us);
        let (our_p50, peers_p50) = both(|r| r.p50_us / 1e3);
        let (our_p99, peers_p99) = both(|r| r.p99_us / 1e3);
        let ratio = self.ratio();
        format!(
            "| {kind} | {ours:.0} | {peers:.0} | {ratio:.2} | {our_cpu:.0} / {peers_cpu:.0} | \
             {our_p50:.2} / {peers_p50:.2} | {our_p99:.2} / {peers_p99:.2} |"
        )
    }

    /// Rounds of the same number ran one right after the other, so that a change of the machine's speed hits both.
    fn ratio(&self) -> f64 {
        median(
            self.ours.iter().zip(&self.peers).map(|(ours, peer)| ours.per_second / peer.per_second).collect(),
        )
    }
}

/// A line on standard output.
pub(crate) fn say(line: &str) {
    // A closed pipe is the reader's choice.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line on standard error.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(milliseconds: u64) -> Round {
        let latencies = vec![Duration::from_millis(1); 100];
        Round::new(
            &Took { elapsed: Duration::from_millis(milliseconds), latencies },
            Duration::from_millis(10),
        )
    }

    #[test]
    fn ratios_compare_rounds_of_the_same_number() {
        // The machine halves its speed after the first round; twice as fast stays twice as fast.
        let comparison = Comparison {
            ours: vec![round(100), round(200), round(200)],
            peers: vec![round(200), round(400), round(400)],
        };
        assert!((comparison.ratio() - 2.0).abs() < 1e-9);
        assert_eq!(
            comparison.row("paid"),
            "| paid | 500 | 250 | 2.00 | 100 / 100 | 1.00 / 1.00 | 1.00 / 1.00 |"
        );
    }

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let latencies: Vec<_> = (1..=100).map(Duration::from_micros).collect();
        assert!((percentile(&latencies, 50) - 51.0).abs() < 1e-9);
        assert!((percentile(&latencies, 99) - 100.0).abs() < 1e-9);
    }
}
