//! `farthing fetch`.

use std::path::Path;

use base64::Engine as _;
use farthing_ledger::Outcome;
use farthing_wallet::{Fetched, FetchedBody, PaidCall};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{check, request};
use crate::cli::FetchArgs;
use crate::exit::{Code, Failure};
use crate::output::{DIM, GOOD, Output, STRONG, WARN, printable};
use crate::session::Session;

/// The longest body that `--json` carries inside its object; a longer one is named by its file.
const INLINE_BODY_BYTES: u64 = 1 << 20;

pub(crate) async fn run(session: &Session, args: &FetchArgs, output: Output) -> Result<(), Failure> {
    let limits = request::limits(&args.request)?;
    let call = request::request(&args.request)?;
    if args.dry_run {
        let client = session.client(args.request.timeout)?;
        return check::show(&client.probe(&call, &limits).await?, output);
    }
    let client = session.client(args.request.timeout)?;
    let fetched = match &args.resume {
        Some(id) => client.resume(call, &check::find_purchase(session, id).await?).await?,
        None => client.fetch(call, limits).await?,
    };
    deliver(fetched, args, output).await
}

async fn deliver(fetched: Fetched, args: &FetchArgs, output: Output) -> Result<(), Failure> {
    let Fetched { status, headers, body, payment } = fetched;
    if args.include {
        output.note(format!("{STRONG}{status}{STRONG:#}"));
        for (name, value) in &headers {
            output.note(format!(
                "{DIM}{name}: {}{DIM:#}",
                printable(&String::from_utf8_lossy(value.as_bytes()))
            ));
        }
    }
    let cut_off = match &body {
        FetchedBody::Kept { cut_off, .. } => cut_off.clone(),
        FetchedBody::Stream(_) => None,
    };
    if output.json {
        let content_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = body_json(body, args.output.as_deref()).await?;
        output.json(&json!({
            "status": status.as_u16(), "content_type": content_type, "body": body,
            "payment": payment.as_ref().map(payment_json),
        }));
    } else {
        write_body(body, args.output.as_deref()).await?;
    }
    if let Some(paid) = &payment {
        say_payment(paid, output);
    }
    if let Some(why) = cut_off {
        output.warn(format!("the body is not whole: {}", printable(&why)));
    }
    conclude(status, payment.as_ref(), output)
}

/// The exit code: what became of the money comes before what became of the call.
fn conclude(status: http::StatusCode, payment: Option<&PaidCall>, output: Output) -> Result<(), Failure> {
    if let Some(PaidCall { outcome: Outcome::Unknown { why }, purchase, asset, .. }) = payment {
        let amount = asset.format(purchase.terms.amount);
        let until = purchase.signed.as_ref().map(|signed| crate::output::time(signed.valid_before));
        return Err(Failure::new(Code::Unknown, printable(why)).hint(format!(
            "{amount} stays reserved, because the seller could still settle until {} UTC; `farthing reconcile` asks the chain",
            until.unwrap_or_default(),
        )));
    }
    if status.is_redirection() {
        output.note(format!("{WARN}note{WARN:#}: redirects are not followed; call the new address yourself"));
    }
    if status.is_client_error() || status.is_server_error() {
        return Err(Failure::new(Code::SellerError, format!("the seller answered {status}")));
    }
    Ok(())
}

fn say_payment(paid: &PaidCall, output: Output) {
    let terms = &paid.purchase.terms;
    let amount = paid.asset.format(terms.amount);
    if let Outcome::Paid { transaction } = &paid.outcome {
        output.note(format!(
            "{GOOD}paid{GOOD:#} {STRONG}{amount}{STRONG:#} in {} on {} to {}",
            paid.asset.symbol,
            terms.network.display_name(),
            printable(&terms.pay_to)
        ));
        if let Some(transaction) = transaction {
            output.note(format!("{DIM}transaction{DIM:#} {}", printable(transaction)));
        }
    }
    output.note(format!("{DIM}purchase{DIM:#} {}  (`farthing receipt {}`)", terms.id, tail(&terms.id.0)));
    for (limit, used) in &paid.used {
        output.note(format!("{DIM}budget{DIM:#} {}: {} left", limit.rule, limit.remaining(*used)));
    }
}

/// Enough of an id to name it again.
pub(crate) fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

fn payment_json(paid: &PaidCall) -> Value {
    let terms = &paid.purchase.terms;
    json!({
        "purchase": terms.id, "amount": terms.amount, "price": paid.asset.format(terms.amount),
        "asset": terms.asset, "symbol": paid.asset.symbol, "network": terms.network, "protocol": terms.protocol,
        "pay_to": terms.pay_to, "payer": terms.payer, "outcome": paid.outcome, "settlement": paid.settlement,
        "budgets": check::budgets_json(&paid.used),
    })
}

fn io_failed(what: &str) -> impl Fn(std::io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::new(Code::Unexpected, format!("{what}: {error}"))
}

async fn write_body(body: FetchedBody, file: Option<&Path>) -> Result<(), Failure> {
    let failed = io_failed("the body could not be written");
    let mut out: Box<dyn tokio::io::AsyncWrite + Unpin> = match file {
        Some(path) => {
            Box::new(tokio::fs::File::create(path).await.map_err(io_failed(&path.display().to_string()))?)
        }
        None => Box::new(tokio::io::stdout()),
    };
    match body {
        FetchedBody::Kept { path, .. } => {
            let mut kept =
                tokio::fs::File::open(&path).await.map_err(io_failed(&path.display().to_string()))?;
            tokio::io::copy(&mut kept, &mut out).await.map_err(&failed)?;
        }
        FetchedBody::Stream(answer) => {
            let mut chunks = answer.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let broken = |error: reqwest::Error| {
                    Failure::new(Code::Unreachable, crate::exit::causes(&error.without_url()))
                };
                out.write_all(&chunk.map_err(broken)?).await.map_err(&failed)?;
            }
        }
    }
    out.flush().await.map_err(&failed)
}

async fn body_json(body: FetchedBody, file: Option<&Path>) -> Result<Value, Failure> {
    if let Some(file) = file {
        write_body(body, Some(file)).await?;
        return Ok(json!({"file": file}));
    }
    let failed = io_failed("the body could not be read");
    match body {
        FetchedBody::Kept { path, bytes, .. } if bytes > INLINE_BODY_BYTES => {
            Ok(json!({"file": path, "bytes": bytes}))
        }
        FetchedBody::Kept { path, .. } => {
            let mut content = Vec::new();
            let mut kept = tokio::fs::File::open(&path).await.map_err(&failed)?;
            kept.read_to_end(&mut content).await.map_err(&failed)?;
            Ok(content_json(&content))
        }
        FetchedBody::Stream(answer) => {
            let mut content = Vec::new();
            let mut chunks = answer.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let broken = |error: reqwest::Error| {
                    Failure::new(Code::Unreachable, crate::exit::causes(&error.without_url()))
                };
                content.extend_from_slice(&chunk.map_err(broken)?);
                if content.len() as u64 > INLINE_BODY_BYTES {
                    return Err(Failure::new(Code::Unexpected, "the body is too long for --json")
                        .hint("write it to a file with -o FILE"));
                }
            }
            Ok(content_json(&content))
        }
    }
}

fn content_json(content: &[u8]) -> Value {
    match std::str::from_utf8(content) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"base64": base64::engine::general_purpose::STANDARD.encode(content)}),
    }
}
