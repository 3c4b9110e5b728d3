//! The report as one page: no scripts, nothing from elsewhere, readable on a telephone, in light and dark.

use askama::Template;

use crate::Failure;
use crate::charts;
use crate::checks::Row;
use crate::report::{Chart, Report};

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    style: &'static str,
    tiles: Vec<(String, &'static str)>,
    charts: Vec<Drawn<'a>>,
    rows: Vec<Line>,
    injected: Vec<Bar>,
    ends: Vec<Bar>,
    passed: usize,
}

struct Drawn<'a> {
    chart: &'a Chart,
    svg: String,
}

/// A row of the table of accounts.
struct Line {
    name: String,
    address: String,
    direction: &'static str,
    payments: String,
    sums: [String; 5],
    agrees: bool,
    is_sum: bool,
}

/// One bar of a bar chart.
struct Bar {
    name: String,
    count: String,
    /// In hundredths of the longest.
    length: u64,
}

/// Renders the page.
pub(crate) fn render(report: &Report) -> Result<String, Failure> {
    let page = Page {
        report,
        style: include_str!("../templates/report.css"),
        tiles: tiles(report),
        charts: charts(report)?,
        rows: report.accounts.iter().map(line).collect(),
        injected: bars(&report.injected),
        ends: bars(&report.ends),
        passed: report.checks.iter().filter(|check| check.passed).count(),
    };
    Ok(page.render()?)
}

fn tiles(report: &Report) -> Vec<(String, &'static str)> {
    let moved = report.accounts.last().map_or(0, |row| row.balance);
    let restarts = report.events.iter().filter(|(_, what)| what.contains("started again")).count();
    let away = report.events.len() - restarts;
    vec![
        (grouped(report.paid.into()), "paid calls"),
        (format!("${}", dollars(moved)), "moved, in every book the same"),
        (grouped(report.injected.values().sum::<u64>().into()), "failures injected"),
        (restarts.to_string(), "restarts, killed or stopped"),
        (away.to_string(), "times the chain was out of reach"),
        (grouped((report.paid / report.seconds).into()), "paid calls a second"),
        (seconds(report.latency.p50_ms), "median call, with the block it waits for"),
        (seconds(report.latency.p99_ms), "99 of 100 calls, with every retry"),
    ]
}

fn seconds(ms: u64) -> String {
    format!("{}.{:02} s", ms / 1_000, ms % 1_000 / 10)
}

/// Base units of USDC as dollars.
fn dollars(units: u128) -> String {
    format!("{}.{:06}", grouped(units / 1_000_000), units % 1_000_000)
}

/// `1 234 567`, with narrow spaces.
fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

fn line(row: &Row) -> Line {
    let sums = [row.balance, row.events, row.claims, row.settlements, row.purchases];
    Line {
        name: row.name.clone(),
        address: row.address.clone(),
        direction: if row.pays { "pays" } else { "earns" },
        payments: grouped(row.payments.into()),
        sums: sums.map(grouped),
        agrees: row.agrees(),
        is_sum: row.address.is_empty(),
    }
}

fn bars(counts: &std::collections::BTreeMap<String, u64>) -> Vec<Bar> {
    let most = counts.values().max().copied().unwrap_or(1).max(1);
    let mut sorted: Vec<_> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let bar = |(name, count): (&String, &u64)| Bar {
        name: name.clone(),
        count: grouped((*count).into()),
        length: (count * 100 / most).max(1),
    };
    sorted.into_iter().map(bar).collect()
}

// === the charts ===

fn charts(report: &Report) -> Result<Vec<Drawn<'_>>, Failure> {
    let events: Vec<_> = report.events.iter().map(|(second, _)| *second).collect();
    let draw = |chart| Ok(Drawn { chart, svg: charts::draw(&chart.series, &events, report.seconds)? });
    report.charts.iter().map(draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(dollars(1_234_000_001), "1\u{202f}234.000001");
        assert_eq!(seconds(1_239), "1.23 s");
    }
}
