//! `farthing ui`: the local page, for the person at this terminal.

use std::io::IsTerminal as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use farthing_ambient::{OsEntropy, SystemClock};
use farthing_policy::Policy;
use farthing_ui::{Parts, Ui, UiError};
use farthing_wallet::Wallet;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;

use super::freeze::person;
use crate::cli::UiArgs;
use crate::exit::{Code, Failure};
use crate::output::{DIM, Output, STRONG};
use crate::sellers::asked_to_stop;
use crate::session::{Session, ledger_in, policy_at};

pub(crate) async fn run(session: &Session, args: &UiArgs, output: Output) -> Result<(), Failure> {
    let listener = bind(args.port).await?;
    let address = listener.local_addr().map_err(|error| Failure::new(Code::Unexpected, error))?;
    let parts = parts(session)?;
    let ledger = parts.ledger.clone();
    let ui = Ui::new(parts, address).map_err(failed)?;
    let link = ui.link().map_err(failed)?;
    show(&link, output);
    if args.open {
        open(&link, output);
    }
    let more = more_links(&ui, output);
    tokio::select! {
        () = ui.serve(listener, asked_to_stop()) => {}
        never = more => match never {},
    }
    ledger.close().await?;
    Ok(())
}

async fn bind(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        Failure::new(Code::Configuration, format!("listening on {address}: {error}"))
            .hint("leave --port out for any free port")
    })
}

/// Works without a wallet: beside a guard there is none.
fn parts(session: &Session) -> Result<Parts, Failure> {
    let (ledger, wallet) = match session.key_file().exists() {
        true => (session.ledger()?, Some(Arc::new(session.wallet()?) as Arc<dyn Wallet>)),
        false => (ledger_in(session.home().folder(), "ledger.db")?, None),
    };
    let policy = session.home().policy();
    Ok(Parts {
        ledger,
        wallet,
        policy: Arc::new(move || read(&policy)),
        registry: session.config().registry()?,
        person: person(),
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
    })
}

fn read(policy: &Path) -> Result<Policy, String> {
    policy_at(policy).map_err(|failure| failure.message)
}

/// The link is shown here and nowhere else: who opens it decides in the name of the person at this terminal.
fn show(link: &str, output: Output) {
    if output.json {
        output.json(&json!({"url": link}));
        return;
    }
    output.line(format!("{STRONG}{link}{STRONG:#}"));
    output.note(format!(
        "{DIM}Open it in a browser on this machine: it is good once, for ten minutes. Ctrl-C ends the page.{DIM:#}"
    ));
}

fn open(link: &str, output: Output) {
    if let Err(error) = open::that_detached(link) {
        output.warn(format_args!("the browser did not start: {error}; open the link yourself"));
    }
}

/// Prints another link whenever somebody at the terminal presses Enter.
async fn more_links(ui: &Ui, output: Output) -> std::convert::Infallible {
    if is_at_terminal() && !output.json {
        output.note(format!("{DIM}Enter prints another link.{DIM:#}"));
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {
            match ui.link() {
                Ok(link) => output.line(format!("{STRONG}{link}{STRONG:#}")),
                Err(error) => output.warn(error),
            }
        }
    }
    std::future::pending().await
}

/// Whether somebody can press Enter: in the background, to read would stop the process.
fn is_at_terminal() -> bool {
    let stdin = std::io::stdin();
    let in_front =
        || rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp());
    stdin.is_terminal() && in_front()
}

fn failed(error: UiError) -> Failure {
    Failure::new(Code::Unexpected, error)
}
