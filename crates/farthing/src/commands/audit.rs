//! `farthing audit`: the record, to be read, exported and verified.

use std::path::PathBuf;
use std::time::Duration;

use farthing_ambient::causes;
use farthing_ledger::{JournalRow, Ledger};
use serde_json::{Value, json};

use crate::cli::{AuditCommand, AuditFormat};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable, time};
use crate::session::{existing_ledger, named_ledger};

/// How many rows are read at a time.
const PAGE: u32 = 500;
/// How often `--follow` looks for more.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) async fn run(home: &Home, command: &AuditCommand, output: Output) -> Result<(), Failure> {
    match command {
        AuditCommand::Tail { rows, follow, file } => {
            tail(&open(home, file.as_ref())?, *rows, *follow, output).await
        }
        AuditCommand::Export { format, to, after, file } => {
            let ledger = open(home, file.as_ref())?;
            match (format, to) {
                (_, Some(to)) => send(&ledger, *after, to, output).await,
                (AuditFormat::Jsonl, None) => export(&ledger, *after, output).await,
                (AuditFormat::Otlp, None) => print_otlp(&ledger, *after, output).await,
            }
        }
        AuditCommand::Verify { file, expect_head } => {
            super::ledger::verify(home, file.as_deref(), expect_head.as_deref(), output).await
        }
    }
}

fn open(home: &Home, file: Option<&PathBuf>) -> Result<Ledger, Failure> {
    match file {
        Some(file) => named_ledger(file),
        None => existing_ledger(&home.ledger()),
    }
}

async fn tail(ledger: &Ledger, rows: u32, follow: bool, output: Output) -> Result<(), Failure> {
    let last = ledger.journal_end().await?;
    let mut after = last.saturating_sub(i64::from(rows)).max(0);
    loop {
        for row in ledger.journal(after, PAGE).await? {
            after = row.seq;
            show(&row, output);
        }
        if !follow {
            if ledger.journal(after, 1).await?.is_empty() {
                return Ok(());
            }
            continue;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn show(row: &JournalRow, output: Output) {
    if output.json {
        output.line(to_json(row));
        return;
    }
    let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
    let style = if row.kind.contains("denied") {
        BAD
    } else if row.kind.contains("frozen") || row.kind.contains("approval") {
        WARN
    } else {
        GOOD
    };
    let (kind, seq) = (&row.kind, row.seq);
    output.line(format!(
        "{DIM}{seq:>6} {}{DIM:#} {style}{kind:<16}{style:#} {}",
        time(row.at),
        in_words(&body, &row.id)
    ));
}

/// What is most worth knowing of a row.
fn in_words(body: &Value, id: &str) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(printable);
    let mut words = Vec::new();
    words.extend(text("agent").map(|agent| format!("{STRONG}{agent}{STRONG:#}")));
    words.extend(text("tool").map(|tool| match text("server") {
        Some(server) => format!("{server}/{tool}"),
        None => tool,
    }));
    words.extend(text("url"));
    words.extend(
        text("value")
            .and_then(|value| value.parse().ok())
            .map(|value| farthing_money::Usd::new(value).to_string()),
    );
    words.extend(text("state"));
    words.extend(text("rule").map(|rule| format!("rule `{rule}`")));
    words.extend(text("message"));
    if words.is_empty() {
        words.push(printable(id));
    }
    words.join("  ")
}

fn to_json(row: &JournalRow) -> Value {
    let body: Value = serde_json::from_str(&row.body).unwrap_or_else(|_| Value::String(row.body.clone()));
    json!({"seq": row.seq, "at": row.at, "kind": row.kind, "id": row.id, "body": body, "prev": row.prev, "hash": row.hash})
}

/// Every row after `after`, a page at a time.
pub(crate) async fn pages(
    ledger: &Ledger,
    mut after: i64,
    mut each: impl AsyncFnMut(Vec<JournalRow>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let rows = ledger.journal(after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.seq;
        each(rows).await?;
    }
}

async fn export(ledger: &Ledger, after: i64, output: Output) -> Result<(), Failure> {
    pages(ledger, after, async |rows| {
        rows.iter().for_each(|row| output.line(to_json(row)));
        crate::output::written()
    })
    .await
}

async fn print_otlp(ledger: &Ledger, after: i64, output: Output) -> Result<(), Failure> {
    pages(ledger, after, async |rows| {
        output.line(otlp(&rows));
        crate::output::written()
    })
    .await
}

/// Sends the record to a collector, a page at a time. What was accepted is told when one is refused.
async fn send(ledger: &Ledger, after: i64, to: &str, output: Output) -> Result<(), Failure> {
    let client = farthing_http::caller().map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let client = client.timeout(Duration::from_secs(30)).build();
    let client = client.map_err(|error| Failure::new(Code::Unexpected, causes(&error)))?;
    let (mut sent, mut last) = (0, after);
    let done = pages(ledger, after, async |rows| {
        let answer = client.post(to).json(&otlp(&rows)).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        answer.map_err(|error| {
            Failure::new(Code::Unreachable, format!("the collector: {}", causes(&error.without_url())))
        })?;
        sent += rows.len();
        last = rows.last().map_or(last, |row| row.seq);
        Ok(())
    })
    .await;
    if let Err(failure) = done {
        return Err(failure.hint(format!("{sent} rows were taken; go on with --after {last}")));
    }
    if output.json {
        output.json(&json!({"sent": sent, "last": last}));
    } else {
        output.line(format!("{GOOD}sent{GOOD:#} {sent} rows; the last one is {last}"));
    }
    Ok(())
}

/// The rows as OpenTelemetry's logs (opentelemetry-proto, ExportLogsServiceRequest in JSON).
fn otlp(rows: &[JournalRow]) -> Value {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let records: Vec<Value> = rows
        .iter()
        .map(|row| {
            let denied = row.kind.contains("denied");
            json!({
                "timeUnixNano": format!("{}", row.at.as_nanosecond()),
                "severityNumber": if denied { 13 } else { 9 },
                "severityText": if denied { "WARN" } else { "INFO" },
                "body": {"stringValue": row.body},
                "attributes": [
                    text("farthing.kind", &row.kind),
                    text("farthing.id", &row.id),
                    {"key": "farthing.seq", "value": {"intValue": row.seq.to_string()}},
                    text("farthing.hash", &row.hash),
                    text("farthing.prev", &row.prev),
                ],
            })
        })
        .collect();
    json!({"resourceLogs": [{
        "resource": {"attributes": [text("service.name", "farthing")]},
        "scopeLogs": [{"scope": {"name": "farthing.audit", "version": env!("CARGO_PKG_VERSION")}, "logRecords": records}],
    }]})
}
