//! `farthing fetch`.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use farthing_ledger::{Outcome, PurchaseId, PurchaseState};
use farthing_wallet::{FetchError, Fetched, FetchedBody, PaidCall};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{check, request};
use crate::cli::FetchArgs;
use crate::exit::{Code, Failure};
use crate::fence::Fence;
use crate::output::{DIM, GOOD, Output, STRONG, WARN, clear_status, printable, say};
use crate::progress::{self, Watch};
use crate::session::Session;

/// The longest body that `--json` carries inside its object; a longer one is named by its file.
const INLINE_BODY_BYTES: u64 = 1 << 20;

pub(crate) async fn run(session: &Session, args: &FetchArgs, output: Output) -> Result<(), Failure> {
    let limits = request::limits(&args.request)?;
    let fence = Fence::around(session);
    let earlier = match &args.resume {
        Some(id) => Some(check::find_purchase(session, id).await?),
        None => None,
    };
    let call = match &earlier {
        Some(earlier) => request::again(&args.request, args.url.as_deref(), earlier, &fence)?,
        None => request::request(&args.request, args.url.as_deref().unwrap_or_default(), &fence)?,
    };
    if args.dry_run {
        return check::probe(session, &call, &args.request, output).await;
    }
    if let Some(file) = &args.output {
        writable(file, &fence)?;
    }
    let watch = Arc::new(Watch::new(&call));
    let client = session.client(args.request.timeout)?.observed_by(watch.clone());
    let work = async {
        let answer = async {
            match &earlier {
                Some(earlier) => client.resume(call, &earlier.terms.id).await,
                None => client.fetch(call, limits).await,
            }
        };
        let fetched = progress::shown(output, || watch.doing(), answer).await;
        deliver(fetched.map_err(|error| sent(error, args))?, args, output).await
    };
    tokio::select! {
        biased;
        done = work => done,
        purchase = watch.broken_off() => Err(broken_off(session, &purchase, args).await?),
    }
}

/// A failed call; when its payment is out, with what can be done about it.
fn sent(error: FetchError, args: &FetchArgs) -> Failure {
    let purchase = match &error {
        FetchError::Lost { purchase, .. }
        | FetchError::NotKept { purchase, .. }
        | FetchError::NotRecorded { purchase, .. } => purchase.clone(),
        _ => return error.into(),
    };
    Failure::from(error).hint(how_to_go_on(&purchase, args))
}

/// What the user is told who has broken a paid call off.
async fn broken_off(session: &Session, id: &PurchaseId, args: &FetchArgs) -> Result<Failure, Failure> {
    let purchase = session.ledger()?.purchase(id).await?;
    if purchase.state == PurchaseState::Paid && purchase.response.is_some() {
        let failure = Failure::new(Code::Unexpected, "interrupted; the call is paid, and its answer is kept");
        return Ok(failure.hint(format!("`farthing receipt {} --body` prints it", tail(&id.0))));
    }
    let value = purchase.terms.value;
    let why = format!("interrupted: the payment of {value} was sent. Purchase {id} stays reserved");
    Ok(Failure::new(Code::Unknown, why).hint(how_to_go_on(id, args)))
}

/// What can be done about a purchase whose answer has not come.
fn how_to_go_on(id: &PurchaseId, args: &FetchArgs) -> String {
    format!("{}; `farthing reconcile` asks the chain", resume(id, args))
}

/// The command that goes on with a purchase, to be copied. Headers may hold secrets, and stay out.
fn resume(id: &PurchaseId, args: &FetchArgs) -> String {
    let mut command = format!("farthing fetch --resume {id}");
    if let Some(data) = &args.request.data {
        command = format!("{command} -d {}", quoted(data));
    }
    if let Some(file) = &args.output {
        command = format!("{command} -o {}", quoted(&file.to_string_lossy()));
    }
    let headers = if args.request.headers.is_empty() { "" } else { ", with the same -H" };
    format!("`{command}`{headers} asks for it with the same payment")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

async fn deliver(fetched: Fetched, args: &FetchArgs, output: Output) -> Result<(), Failure> {
    let Fetched { status, headers, body, payment } = fetched;
    if args.include && !output.json {
        say_head(status, &headers);
    }
    let cut_off = match &body {
        FetchedBody::Kept { cut_off, .. } => cut_off.clone(),
        FetchedBody::Stream(_) => None,
    };
    let ending = conclude(status, payment.as_ref(), cut_off.as_deref(), args);
    if output.json {
        let content_type =
            headers.get("content-type").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut value = json!({
            "status": status.as_u16(), "content_type": content_type, "body": null, "cut_off": cut_off,
            "payment": payment.as_ref().map(payment_json),
        });
        if args.include {
            value["headers"] = headers_json(&headers);
        }
        return match body_json(body, args.output.as_deref()).await {
            Ok(body) => {
                value["body"] = body;
                output.json_ending(value, ending)
            }
            Err(failure) => output.json_ending(value, Err(kept_all_the_same(failure, payment.as_ref()))),
        };
    }
    clear_status();
    let written = write_body(body, args.output.as_deref()).await;
    if let Some(paid) = &payment {
        say_payment(paid, output);
    }
    written.map_err(|failure| kept_all_the_same(failure, payment.as_ref()))?;
    if status.is_redirection() {
        output.note(format!("{WARN}note{WARN:#}: redirects are not followed; call the new address yourself"));
    }
    ending
}

/// The answer's status and headers, also with `--quiet`: they were asked for.
fn say_head(status: StatusCode, headers: &HeaderMap) {
    say(format_args!("{STRONG}{status}{STRONG:#}"));
    for (name, value) in headers {
        // A header may be longer than what is printed of other people's words: it is shown whole.
        let value: String =
            String::from_utf8_lossy(value.as_bytes()).chars().flat_map(char::escape_debug).collect();
        say(format_args!("{DIM}{name}: {value}{DIM:#}"));
    }
}

/// Every header's values, in their order.
fn headers_json(headers: &HeaderMap) -> Value {
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    headers.keys().map(|name| (name.to_string(), json!(values(name).collect::<Vec<_>>()))).collect()
}

/// Refuses, before anything is paid, a file that the body could not be written to afterwards.
fn writable(file: &Path, fence: &Fence) -> Result<(), Failure> {
    let refused = |why: String| Failure::new(Code::Configuration, format!("-o {}: {why}", file.display()));
    fence.may_write(file).map_err(|error| refused(error.to_string()))?;
    match std::fs::metadata(file) {
        Ok(there) if there.is_dir() => return Err(refused("it is a folder".to_owned())),
        // A pipe or a device is opened once only.
        Ok(there) if !there.is_file() => return Ok(()),
        _ => {}
    }
    let is_new = !file.exists();
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .map_err(|error| refused(error.to_string()))?;
    if is_new {
        // It was made to see whether it can be; the body makes it again.
        std::fs::remove_file(file).ok();
    }
    Ok(())
}

/// A body that could not be handed over, or not whole, is in the wallet's folder, if it was paid for.
fn kept_all_the_same(failure: Failure, payment: Option<&PaidCall>) -> Failure {
    match payment {
        Some(paid) => {
            let id = tail(&paid.purchase.terms.id.0);
            failure.hint(format!("what came is kept: `farthing receipt {id} --body` prints it"))
        }
        None => failure,
    }
}

/// The exit code: what became of the money comes before what became of the call.
fn conclude(
    status: StatusCode,
    payment: Option<&PaidCall>,
    cut_off: Option<&str>,
    args: &FetchArgs,
) -> Result<(), Failure> {
    if let Some(PaidCall { outcome: Outcome::Unknown { why }, purchase, asset, .. }) = payment {
        let amount = asset.format(purchase.terms.amount);
        let until = purchase.signed.as_ref().map(|signed| crate::output::time(signed.valid_before));
        let empty = why.contains("insufficient_funds") || why.contains("insufficient_balance");
        let balance = if empty { "`farthing balance` shows what the wallet holds; " } else { "" };
        return Err(Failure::new(Code::Unknown, printable(why)).hint(format!(
            "{balance}{amount} stays reserved, because the seller could still settle until {} UTC; `farthing reconcile` asks the chain",
            until.unwrap_or_default(),
        )));
    }
    if let Some(why) = cut_off {
        let paid = if payment.is_some() { ", and it was paid for" } else { "" };
        let why = format!("the body is not whole{paid}: {}", printable(why));
        let failure = Failure::new(Code::Unexpected, why);
        let Some(paid) = payment else { return Err(failure) };
        let id = &paid.purchase.terms.id;
        let part = format!("what came is kept: `farthing receipt {} --body` prints it", tail(&id.0));
        return Err(failure.hint(format!("{}; {part}", resume(id, args))));
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

fn io_failed(what: &str) -> impl Fn(std::io::Error) -> Failure + use<> {
    let what = what.to_owned();
    move |error| Failure::new(Code::Unexpected, format!("{what}: {error}"))
}

/// Where handing over a body stopped.
enum Stopped {
    Reading(Failure),
    Writing(std::io::Error),
}

async fn write_body(body: FetchedBody, file: Option<&Path>) -> Result<(), Failure> {
    let mut out: Box<dyn tokio::io::AsyncWrite + Unpin> = match file {
        Some(path) => {
            Box::new(tokio::fs::File::create(path).await.map_err(io_failed(&path.display().to_string()))?)
        }
        None => Box::new(tokio::io::stdout()),
    };
    let on_terminal = file.is_none() && std::io::stdout().is_terminal();
    match pour(body, &mut out).await {
        Ok(last) => {
            if on_terminal && last.is_some_and(|byte| byte != b'\n') {
                // So that what is said next begins on a line of its own.
                say("");
            }
            Ok(())
        }
        // Who reads stdout has had enough, as `head` does.
        Err(Stopped::Writing(error)) if file.is_none() && error.kind() == std::io::ErrorKind::BrokenPipe => {
            Ok(())
        }
        Err(Stopped::Writing(error)) => Err(io_failed("the body could not be written")(error)),
        Err(Stopped::Reading(failure)) => Err(failure),
    }
}

/// Copies a body; returns its last byte.
async fn pour(
    body: FetchedBody,
    out: &mut (dyn tokio::io::AsyncWrite + Unpin),
) -> Result<Option<u8>, Stopped> {
    let mut last = None;
    match body {
        FetchedBody::Kept { path, .. } => {
            let unreadable = io_failed(&path.display().to_string());
            let kept = tokio::fs::File::open(&path).await;
            let mut kept = kept.map_err(|error| Stopped::Reading(unreadable(error)))?;
            let mut chunk = Vec::with_capacity(64 << 10);
            while kept.read_buf(&mut chunk).await.map_err(|error| Stopped::Reading(unreadable(error)))? > 0 {
                out.write_all(&chunk).await.map_err(Stopped::Writing)?;
                last = chunk.last().copied();
                chunk.clear();
            }
        }
        FetchedBody::Stream(answer) => {
            let mut chunks = answer.bytes_stream();
            while let Some(chunk) = chunks.next().await {
                let broken = |error: reqwest::Error| {
                    Failure::new(Code::Unreachable, farthing_ambient::causes(&error.without_url()))
                };
                let chunk = chunk.map_err(|error| Stopped::Reading(broken(error)))?;
                out.write_all(&chunk).await.map_err(Stopped::Writing)?;
                last = chunk.last().copied().or(last);
            }
        }
    }
    out.flush().await.map_err(Stopped::Writing)?;
    Ok(last)
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
                    Failure::new(Code::Unreachable, farthing_ambient::causes(&error.without_url()))
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
