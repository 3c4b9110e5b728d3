//! From what was measured to the lines of the charts.

use crate::charts::Series;
use crate::report::Chart;
use crate::samples::{Look, Samples, Timed, percentile};

/// Into how many points a run is divided in a chart.
const POINTS: u64 = 160;

/// The report's charts.
pub(crate) fn all(samples: &Samples, looks: &[(String, Vec<Look>)]) -> Vec<Chart> {
    let step = (samples.elapsed().as_secs() / POINTS).max(1);
    let timed = samples.calls();
    let chart =
        |title: &str, unit: &str, series| Chart { title: title.to_owned(), unit: unit.to_owned(), series };
    let servers = |part: fn(&Look) -> f64| -> Vec<Series> {
        looks.iter().map(|(name, looks)| of_looks(name, looks, step, part)).collect()
    };
    vec![
        chart("Paid calls", "a second", vec![rate(&timed, step)]),
        chart("Time of a paid call", "seconds", latencies(&timed, step)),
        chart("Resident memory", "MiB", servers(|look| float(look.usage.memory_kib) / 1_024.0)),
        chart("Open descriptors", "", servers(|look| float(look.usage.descriptors))),
        chart("Failures injected", "a second", vec![failures(&samples.failures(), step)]),
        chart("Ledger on the disk", "MB", servers(|look| float(look.ledger_bytes) / 1e6)),
    ]
}

fn float(number: u64) -> f64 {
    // Counts of a run fit; what does not is drawn at the top.
    u32::try_from(number / 1_000).map_or(f64::MAX, |thousands| {
        f64::from(thousands) * 1_000.0 + f64::from(u32::try_from(number % 1_000).unwrap_or_default())
    })
}

/// Calls by the step in which they ended.
fn steps(timed: &[Timed], step: u64) -> Vec<(u64, Vec<u64>)> {
    let mut steps: Vec<(u64, Vec<u64>)> = Vec::new();
    let last = timed.iter().map(|call| call.at_ms / 1_000 / step).max().unwrap_or_default();
    steps.extend((0..=last).map(|index| (index * step, Vec::new())));
    for call in timed {
        let index = usize::try_from(call.at_ms / 1_000 / step).unwrap_or(usize::MAX);
        if let Some((_, took)) = steps.get_mut(index) {
            took.push(call.took_ms);
        }
    }
    steps
}

fn rate(timed: &[Timed], step: u64) -> Series {
    let points = steps(timed, step)
        .into_iter()
        .map(|(second, took)| (float(second), float(took.len() as u64) / float(step)));
    Series { name: "paid and answered".to_owned(), points: points.collect(), gap: 0.0 }
}

fn latencies(timed: &[Timed], step: u64) -> Vec<Series> {
    let mut steps = steps(timed, step);
    let mut of = |name: &str, percent| {
        let points = steps.iter_mut().filter_map(|(second, took)| {
            percentile(took, percent).map(|ms| (float(*second), float(ms) / 1_000.0))
        });
        Series { name: name.to_owned(), points: points.collect(), gap: float(step) * 3.0 }
    };
    vec![of("half of them", 50), of("99 of 100", 99)]
}

fn of_looks(name: &str, looks: &[Look], step: u64, part: fn(&Look) -> f64) -> Series {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for look in looks {
        if points.last().is_none_or(|(last, _)| float(look.second) - last >= float(step)) {
            points.push((float(look.second), part(look)));
        }
    }
    Series { name: name.to_owned(), points, gap: float(step) * 3.0 }
}

/// From how many failures there had been second by second.
fn failures(totals: &[u64], step: u64) -> Series {
    let every = usize::try_from(step).unwrap_or(usize::MAX);
    let totals: Vec<_> = totals.iter().step_by(every).collect();
    let points = totals.windows(2).zip(1..).filter_map(|(pair, index)| {
        let [before, after] = pair else { return None };
        Some((float(index * step), float(*after - *before) / float(step)))
    });
    Series { name: "injected".to_owned(), points: points.collect(), gap: 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_in_their_step() {
        let timed = [0, 900, 2_100].map(|at_ms| Timed { at_ms, took_ms: 5 });
        let series = rate(&timed, 1);
        assert_eq!(series.points, [(0.0, 2.0), (1.0, 0.0), (2.0, 1.0)]);
    }
}
