//! Our standard input and output on one side, a server that speaks HTTP on the other.

use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::config::{BridgeConfig, HttpError};
use super::front::{Front, Out};
use super::queue::{Receiver, queue};
use super::session::Session;
use super::upstream::Upstream;
use crate::guard::stdio::lines::{Line, Lines};
use crate::guard::stdio::outlet::write_line;
use crate::guard::{Gate, Stream};

/// How long the client may take to read the last answers.
const LAST_READ: Duration = Duration::from_secs(1);
/// How often it is asked whether open requests are answered when the client sends no more.
const TICK: Duration = Duration::from_millis(5);

/// Carries messages between the client's input and output and the server, until the client closes the input, the server
/// ends the session, or `stop` completes. Gives the exit code for us: 0, or 1 if the server ended it.
///
/// When it returns, a thread may still be reading the input: end the process then.
///
/// # Errors
/// [`HttpError`]: nothing was started.
pub async fn bridge(
    config: BridgeConfig,
    gate: Arc<dyn Gate>,
    input: impl Read + Send + 'static,
    output: impl Write + Send + 'static,
    stop: impl Future<Output = ()>,
) -> Result<u8, HttpError> {
    let upstream = Arc::new(Upstream::new(config.target)?);
    let (to_client, for_client) = queue();
    let session = Session::open(upstream, config.limits, gate, Front::One(to_client))?;
    let written = write_all(output, for_client)?;
    let read = read_all(input, &session)?;
    tokio::pin!(stop, written);
    let mut unheard = false;
    tokio::select! {
        _ = read => {
            tokio::select! {
                () = answered(&session, config.grace) => {}
                () = &mut stop => {}
            }
        }
        () = session.ended.cancelled() => {}
        // Nobody reads what we write, or there is nothing more to write.
        _ = &mut written => unheard = true,
        () = &mut stop => {}
    }
    let code = u8::from(session.ended.is_cancelled());
    session.close("the session is over").await;
    if !unheard {
        // A client that does not read them gets the last answers no more.
        let _ = timeout(LAST_READ, written).await;
    }
    Ok(code)
}

/// Reads messages, in a thread of its own. Completes at the end of the input.
fn read_all(input: impl Read + Send + 'static, session: &Arc<Session>) -> io::Result<oneshot::Receiver<()>> {
    let (ends, ended) = oneshot::channel();
    let (session, runtime) = (session.clone(), Handle::current());
    let read = move || {
        let _ends = ends;
        let mut lines = Lines::new(input, session.limits.max_message);
        let mut number = 0;
        while !session.ended.is_cancelled() {
            number += 1;
            match lines.next() {
                Ok(Some(Line::Whole(line))) if line.trim_ascii().is_empty() => continue,
                Ok(Some(Line::Whole(line))) => {
                    session.relay.from_client(Stream(number), line);
                }
                Ok(Some(Line::TooLarge(shape))) => {
                    session.relay.client_too_large(Stream(number), &shape);
                }
                Ok(None) => return,
                Err(error) => return tracing::warn!(%error, "can't read on"),
            }
            runtime.block_on(async {
                session.wire.room().await;
                session.wire.front.room(Stream(number)).await;
            });
        }
    };
    thread::Builder::new().name("guard-client".to_owned()).spawn(read)?;
    Ok(ended)
}

/// Writes messages, in a thread of its own. Completes when all are written, or nobody takes them.
fn write_all(
    mut output: impl Write + Send + 'static,
    mut messages: Receiver<Out>,
) -> io::Result<oneshot::Receiver<()>> {
    let (ends, ended) = oneshot::channel();
    let write = move || {
        let _ends = ends;
        while let Some(out) = messages.next_blocking() {
            match out {
                Out::Message { data, .. } => {
                    let written = write_line(&mut output, &data).and_then(|()| output.flush());
                    if written.is_err() {
                        return;
                    }
                }
                Out::Close => return,
                _ => {}
            }
        }
    };
    thread::Builder::new().name("guard-output".to_owned()).spawn(write)?;
    Ok(ended)
}

/// Waits until every request is answered, but no longer than this.
async fn answered(session: &Session, grace: Duration) {
    let until = Instant::now() + grace;
    while session.relay.pending_all() > 0 && Instant::now() < until && !session.ended.is_cancelled() {
        sleep(TICK).await;
    }
}
