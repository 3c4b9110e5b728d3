//! The `farthing` command: arguments in, the crates below, output out.
#![forbid(unsafe_code)]

mod agents;
mod cli;
mod commands;
mod config;
mod csv;
mod draw;
mod exit;
mod fence;
mod home;
mod local_chain;
mod output;
mod progress;
mod sellers;
mod session;
mod unattended;
mod webhook;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, ConfigCommand};
use exit::{Code, Failure};
use home::Home;
use output::Output;
use session::Session;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_arguments(&error),
    };
    let json = cli.json;
    match start(cli).and_then(|code| output::written().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.report(json),
    }
}

/// Help and version, which clap treats as errors, and arguments that cannot be understood.
fn not_arguments(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
        return Failure::new(Code::Configuration, message).hint("`--help` lists the arguments").report(true);
    }
    // Nobody is left to be told when this fails.
    error.print().ok();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Gives the exit code: 0, or what a guarded server ended with.
fn start(cli: Cli) -> Result<u8, Failure> {
    let command = cli.command.as_ref().unwrap_or(&Command::Status);
    // One provider of cryptography for every TLS connection of the process; a second installation changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    if let Command::Completions { shell } = command {
        commands::man::completions(*shell, Output::of(&cli));
        return Ok(0);
    }
    if let Command::Man { folder } = command {
        return commands::man::run(folder.as_deref(), Output::of(&cli)).map(|()| 0);
    }
    log(level(command));
    // It carries messages on this very thread, without a runtime between.
    if let Command::Guard(args) = command {
        return commands::guard::run(&Home::locate(cli.home.as_deref())?, args, Output::of(&cli));
    }
    let runtime = match command {
        Command::Gateway(_) | Command::Facilitator(_) | Command::Proxy(_) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()
        }
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = runtime.map_err(|error| Failure::new(Code::Unexpected, error))?;
    let ended = runtime.block_on(run(cli));
    // Not waited for: a write to a reader that does not read, for one.
    runtime.shutdown_background();
    ended.map(|()| 0)
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output::of(&cli);
    let home = Home::locate(cli.home.as_deref())?;
    let command = cli.command.as_ref().unwrap_or(&Command::Status);
    match command {
        Command::Status => commands::status::run(home, output).await,
        Command::Wallet(command) => commands::wallet::run(home, command, output).await,
        Command::Doctor(args) => commands::doctor::run(home, args, output).await,
        Command::Init(args) => commands::init::run(&home, args, output),
        Command::Gateway(args) => commands::gateway::run(&home, args, output).await,
        Command::Facilitator(args) => commands::facilitator::run(&home, args, output).await,
        Command::Policy(command) => commands::policy::run(&home, command, output).await,
        Command::Freeze(args) => commands::freeze::freeze(&home, args, output).await,
        Command::Thaw(_) => commands::freeze::thaw(&home, output).await,
        Command::Approvals(command) => commands::approvals::run(&home, command, output).await,
        Command::Audit(command) => commands::audit::run(&home, command, output).await,
        Command::Install(args) => commands::install::install(&home, args, output),
        Command::Uninstall(args) => commands::install::uninstall(args, output),
        command => run_in(&Session::new(home)?, command, output).await,
    }
}

/// The commands for which config.yaml is read first.
async fn run_in(session: &Session, command: &Command, output: Output) -> Result<(), Failure> {
    match command {
        Command::Address => commands::address::run(session, output),
        Command::Fund(args) => commands::fund::run(session, args, output).await,
        Command::Balance => commands::balance::run(session, output).await,
        Command::Discover(args) => commands::discover::run(session, args, output).await,
        Command::Search(args) => commands::search::run(session, args, output).await,
        Command::Check(args) => commands::check::run(session, args, output).await,
        Command::Fetch(args) => commands::fetch::run(session, args, output).await,
        Command::History(args) => commands::history::run(session, args, output).await,
        Command::Spending(args) => commands::spending::run(session, args, output).await,
        Command::Receipt(args) => commands::receipt::run(session, args, output).await,
        Command::Ui(args) => commands::ui::run(session, args, output).await,
        Command::Send(args) => commands::send::run(session, args, output).await,
        Command::Reconcile => commands::reconcile::run(session, output).await,
        Command::Mcp(args) => commands::mcp::run(session, args, output).await,
        Command::Proxy(args) => commands::proxy::run(session, args, output).await,
        Command::Ledger(command) => commands::ledger::run(session, command, output).await,
        Command::Config(ConfigCommand::Show) => commands::config::show(session, output),
        // Done by those who called this.
        _ => Ok(()),
    }
}

/// Servers say what they do, a guard what needs attention, the other commands only what went wrong.
fn level(command: &Command) -> &str {
    match command {
        Command::Gateway(_) | Command::Facilitator(_) | Command::Proxy(_) => "info",
        Command::Guard(args) => args.log_level.as_deref().unwrap_or("warn"),
        // The SDK warns of every answer that is an error.
        Command::Mcp(_) => "warn,rmcp=error",
        _ => "error",
    }
}

/// Logs to stderr. `FARTHING_LOG` changes the level.
fn log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FARTHING_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .with_target(false)
        .init();
}
