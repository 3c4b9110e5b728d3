//! Handing a body over: to stdout, to a file, or as a part of `--json`'s object.

use std::io::IsTerminal as _;
use std::path::Path;

use base64::Engine as _;
use farthing_wallet::FetchedBody;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::exit::{Code, Failure};
use crate::fence::Fence;
use crate::output::say;

/// The longest body that `--json` carries inside its object; a longer one is named by its file.
const INLINE_BODY_BYTES: u64 = 1 << 20;

/// Refuses a file of a wallet's, and one that cannot be written to: before anything is paid.
pub(crate) fn writable(file: &Path, fence: &Fence) -> Result<(), Failure> {
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

/// Writes what was made here to a file that [`writable`] let pass.
pub(crate) async fn write(bytes: &[u8], file: &Path) -> Result<(), Failure> {
    tokio::fs::write(file, bytes).await.map_err(io_failed(&file.display().to_string()))
}

/// Where handing over a body stopped.
enum Stopped {
    Reading(Failure),
    Writing(std::io::Error),
}

/// Writes a body to a file, or to stdout.
pub(crate) async fn write_body(body: FetchedBody, file: Option<&Path>) -> Result<(), Failure> {
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
                let chunk = chunk.map_err(|error| Stopped::Reading(broken(error)))?;
                out.write_all(&chunk).await.map_err(Stopped::Writing)?;
                last = chunk.last().copied().or(last);
            }
        }
    }
    out.flush().await.map_err(Stopped::Writing)?;
    Ok(last)
}

/// A body as `--json` shows it: its text or its bytes, or the file that it is in.
pub(crate) async fn body_json(body: FetchedBody, file: Option<&Path>) -> Result<Value, Failure> {
    if let Some(file) = file {
        write_body(body, Some(file)).await?;
        return Ok(json!({"file": file.to_string_lossy()}));
    }
    match body {
        FetchedBody::Kept { path, bytes, .. } if bytes > INLINE_BODY_BYTES => {
            Ok(json!({"file": path.to_string_lossy(), "bytes": bytes}))
        }
        FetchedBody::Kept { path, .. } => {
            let read = tokio::fs::read(&path).await;
            Ok(content_json(&read.map_err(io_failed(&path.display().to_string()))?))
        }
        FetchedBody::Stream(answer) => Ok(content_json(&read_inline(answer).await?)),
    }
}

async fn read_inline(answer: reqwest::Response) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        content.extend_from_slice(&chunk.map_err(broken)?);
        if content.len() as u64 > INLINE_BODY_BYTES {
            return Err(Failure::new(Code::Unexpected, "the body is too long for --json")
                .hint("write it to a file with -o FILE"));
        }
    }
    Ok(content)
}

fn content_json(content: &[u8]) -> Value {
    match std::str::from_utf8(content) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"base64": base64::engine::general_purpose::STANDARD.encode(content)}),
    }
}

fn broken(error: reqwest::Error) -> Failure {
    Failure::new(Code::Unreachable, farthing_ambient::causes(&error.without_url()))
}

fn io_failed(what: &str) -> impl Fn(std::io::Error) -> Failure + use<> {
    let what = what.to_owned();
    move |error| Failure::new(Code::Unexpected, format!("{what}: {error}"))
}
