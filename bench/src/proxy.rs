//! The pay proxy: what it adds to a free call, beside the same call without it. No peer has a proxy to measure.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::any;

use crate::Failure;
use crate::figures::{median, say};
use crate::http1::Connection;
use crate::load::{self, Expected};

/// What every answer says.
const ANSWER: &str = "a free answer";
const EXPECTED: Expected = Expected { status: 200, saying: ANSWER };

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds, each of direct and of proxied calls
    #[arg(long, default_value_t = 15)]
    rounds: usize,

    /// Calls in a round, one after the other
    #[arg(long, default_value_t = 500)]
    calls: usize,

    /// The program `farthing`, in release; `cargo xtask bench` builds it and sets this
    #[arg(long, env = "FARTHING", hide_env_values = true)]
    farthing: String,
}

/// Runs it and prints a table.
///
/// # Errors
/// The proxy could not be run, or answered otherwise than the API.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(options))
}

async fn measure(options: &Options) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let api = listener.local_addr()?.port();
    tokio::spawn(
        async move { axum::serve(listener, Router::new().fallback(any(async |_: Bytes| ANSWER))).await },
    );
    let folder = tempfile::tempdir()?;
    let proxy = Proxy::start(&options.farthing, folder.path(), api).await?;
    say("| free call | direct p50 | through the proxy p50 | added p50 | target |\n|---|---|---|---|---|");
    for (kind, body) in [("GET", 0), ("POST, 1 KiB", 1024), ("POST, 256 KiB", 256 * 1024)] {
        let (mut direct, mut through) = (Vec::new(), Vec::new());
        for round in 0..=options.rounds {
            let alone = p50(api, &request("/x", api, body), options.calls).await?;
            let target = format!("/http://127.0.0.1:{api}/x");
            let proxied = p50(proxy.port, &request(&target, proxy.port, body), options.calls).await?;
            // The first warms up.
            if round > 0 {
                direct.push(alone);
                through.push(proxied);
            }
        }
        let (direct, through) = (median(direct), median(through));
        let added = through - direct;
        say(&format!("| {kind} | {direct:.3} ms | {through:.3} ms | {added:.3} ms | 1 ms |"));
    }
    Ok(())
}

fn request(target: &str, port: u16, body: usize) -> Arc<[u8]> {
    let method = if body == 0 { "GET" } else { "POST" };
    let head =
        format!("{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {body}\r\n\r\n");
    [head.as_bytes(), &vec![b'x'; body]].concat().into()
}

/// In milliseconds.
async fn p50(port: u16, request: &Arc<[u8]>, calls: usize) -> Result<f64, Failure> {
    let took = load::send(port, 1, &vec![request.clone(); calls], EXPECTED).await?;
    let middle = took.latencies.get(took.latencies.len() / 2).ok_or("no call was made")?;
    Ok(middle.as_secs_f64() * 1e3)
}

struct Proxy {
    port: u16,
    child: Child,
}

impl Proxy {
    async fn start(farthing: &str, home: &Path, api: u16) -> Result<Self, Failure> {
        let command = || {
            let mut command = Command::new(farthing);
            command.env("FARTHING_HOME", home).env("FARTHING_PASSPHRASE", "bench").stdin(Stdio::null());
            command
        };
        if !command().args(["init", "--yes", "--quiet"]).status()?.success() {
            return Err("no wallet could be made".into());
        }
        std::fs::write(
            home.join("config.yaml"),
            format!("version: 1\nprivate_hosts: [\"127.0.0.1:{api}\"]\n"),
        )?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let listen = format!("127.0.0.1:{port}");
        let mut proxy = command();
        proxy.args(["proxy", "--without-token", "--quiet", "--listen", &listen]).env("FARTHING_LOG", "error");
        let proxy = Self { port, child: proxy.stdout(Stdio::null()).spawn()? };
        for _ in 0..500 {
            if Connection::open(port).await.is_ok() {
                return Ok(proxy);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err("the proxy does not listen".into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
