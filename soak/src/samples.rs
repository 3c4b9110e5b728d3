//! What is measured while the calls are made: every second the servers, and every call's time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::servers::{Server, Usage};

/// One look at one server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) second: u64,
    /// How many calls had been paid by then, at all sellers.
    pub(crate) paid: u64,
    pub(crate) usage: Usage,
    pub(crate) ledger_bytes: u64,
}

/// One call that was paid and answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timed {
    /// When it ended, in milliseconds of the run.
    pub(crate) at_ms: u64,
    /// How long it took its buyer, with every pause and retry.
    pub(crate) took_ms: u64,
}

/// Everything measured.
#[derive(Debug)]
pub(crate) struct Samples {
    began: Instant,
    calls: Mutex<Vec<Timed>>,
    /// One list per server, in the servers' order.
    looks: Mutex<Vec<Vec<Look>>>,
    /// How many failures had been injected, second by second.
    failures: Mutex<Vec<u64>>,
}

impl Samples {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            began: Instant::now(),
            calls: Mutex::default(),
            looks: Mutex::new(vec![Vec::new(); servers]),
            failures: Mutex::default(),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn call(&self, took: Duration) {
        let timed = Timed { at_ms: ms(self.began.elapsed()), took_ms: ms(took) };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(timed);
    }

    /// Looks at every server. Called every second.
    pub(crate) fn look(&self, servers: &[Arc<Server>], paid: u64, failures: u64) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failures);
        let second = self.began.elapsed().as_secs();
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        for (server, looks) in servers.iter().zip(looks.iter_mut()) {
            if let Some(usage) = server.usage() {
                looks.push(Look { second, paid, usage, ledger_bytes: server.ledger_bytes() });
            }
        }
    }

    pub(crate) fn calls(&self) -> Vec<Timed> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn failures(&self) -> Vec<u64> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn looks(&self) -> Vec<Vec<Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The value below which `percent` of a hundred lie; the values need no order.
pub(crate) fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    values.sort_unstable();
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied()
}

/// How much a value grows from the first point to the last, by the line of least squares through all.
pub(crate) fn growth(points: &[(u64, u64)]) -> f64 {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return 0.0 };
    let float = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let count = float(points.len() as u64);
    let mean = |of: fn(&(u64, u64)) -> u64| points.iter().map(|point| float(of(point))).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let shared = points.iter().map(|(x, y)| (float(*x) - mean_x) * (float(*y) - mean_y)).sum::<f64>();
    let spread = points.iter().map(|(x, _)| (float(*x) - mean_x).powi(2)).sum::<f64>();
    if spread == 0.0 { 0.0 } else { shared / spread * (float(last.0) - float(first.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_the_lines_not_the_ends() {
        let line: Vec<_> = (0..=100).map(|n| (n, 1_000 + 3 * n)).collect();
        assert!((growth(&line) - 300.0).abs() < 1e-6);
        let noisy: Vec<_> = (0..=1000).map(|n| (n, 1_000 + n % 7)).collect();
        assert!(growth(&noisy).abs() < 1.0);
        assert!(growth(&[]).abs() < 1e-9 && growth(&[(1, 1)]).abs() < 1e-9);
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 50), Some(51));
        assert_eq!(percentile(&mut values, 99), Some(100));
        assert_eq!(percentile(&mut [], 99), None);
    }
}
