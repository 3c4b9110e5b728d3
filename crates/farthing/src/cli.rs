//! The arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};
use farthing_money::{Network, Price};

mod discover;
mod doctor;
mod gateway;
mod guard;
mod history;
mod install;
mod mcp;
mod policy;
mod proxy;
mod send;
mod ui;
mod wallet;

pub(crate) use discover::{DiscoverArgs, SearchArgs};
pub(crate) use doctor::DoctorArgs;
pub(crate) use gateway::{GatewayArgs, GatewayCheckArgs, GatewayCommand};
pub(crate) use guard::{Compat, GuardArgs, GuardCommand, ScanArgs, ServerArgs, Transport};
pub(crate) use history::{By, HistoryArgs, SpendingArgs, WhichArgs};
pub(crate) use install::{InstallArgs, UninstallArgs, WhichClientArgs};
pub(crate) use mcp::McpArgs;
pub(crate) use policy::{
    ApprovalsCommand, AuditCommand, AuditFormat, BoundArgs, ExplainArgs, FreezeArgs, ImportCommand,
    PolicyCommand, SimulateArgs, ThawArgs,
};
pub(crate) use proxy::{ProxyArgs, ProxyCommand, TokensCommand};
pub(crate) use send::{Amount, SendArgs};
pub(crate) use ui::{ReceiptArgs, UiArgs};
pub(crate) use wallet::{ExportArgs, ImportArgs, KeepArgs, KeyringCommand, RotateArgs, WalletCommand};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// Payments for AI agents, one API call at a time, in stablecoins.
#[derive(Debug, Parser)]
#[command(name = "farthing", version, styles = STYLES, propagate_version = true, max_term_width = 110)]
#[command(after_long_help = "\
Getting started:
  farthing init                                   make a wallet, with small caps
  farthing fund                                   where to send USDC
  farthing check https://api.example.com/weather  what a call would cost; never pays
  farthing fetch https://api.example.com/weather  make the call, paying within the caps

Files: everything lives in ~/.farthing (FARTHING_HOME moves it).
  config.yaml, policy.yaml, keys.json, ledger.db, bodies/

Exit codes:
  0  done                                   5  it cannot be paid
  1  something unexpected                   6  the payment's outcome is unknown
  2  bad arguments or configuration         7  the seller answered with an error
  3  the seller or a chain is unreachable   8  no wallet, or it cannot be unlocked
  4  refused by the policy or a cap         9  the ledger is damaged")]
pub(crate) struct Cli {
    /// What to do; where one stands, without one.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print one JSON object instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Print nothing but the result.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// The folder that holds every file of the wallet.
    #[arg(long, global = true, env = "FARTHING_HOME", value_name = "DIR", hide_env_values = true,
        value_parser = OsStringValueParser::new().try_map(folder))]
    pub(crate) home: Option<PathBuf>,
}

/// A folder's name, which clap by itself would only miss where it is empty.
fn folder(name: OsString) -> Result<PathBuf, &'static str> {
    if name.is_empty() {
        return Err("it names no folder; FARTHING_HOME is empty, or --home is");
    }
    Ok(name.into())
}

/// A SHA-256 in hex, as the record writes it.
fn hash(text: &str) -> Result<String, &'static str> {
    let is_hash = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_hash { Ok(text.to_ascii_lowercase()) } else { Err("a head is 64 hexadecimal digits") }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show where one stands: balances, budgets, what waits, and what to do next. The same as no command at all.
    Status,
    /// Make a wallet: keys, configuration, and a policy with small caps.
    Init(InitArgs),
    /// Show the wallet's addresses.
    Address,
    /// Show where to send USDC; on a local chain, get some.
    Fund(FundArgs),
    /// Show what the wallet holds, and what is left of the budgets.
    Balance,
    /// Show what an origin sells, at which prices, and what is wrong with how it says so. Never pays.
    Discover(DiscoverArgs),
    /// Ask indexes who sells what. Never pays.
    Search(SearchArgs),
    /// Show what a call would cost and what the policy would say. Never pays.
    Check(CheckArgs),
    /// Make a call, paying for it if the seller asks and the policy allows. The body goes to stdout.
    Fetch(FetchArgs),
    /// List purchases, newest first.
    History(HistoryArgs),
    /// Add up what was paid: by day, host, agent or network.
    Spending(SpendingArgs),
    /// Show one purchase: terms, payment, settlement, answer.
    Receipt(ReceiptArgs),
    /// Serve a page to the browser of this machine: balances, spending, budgets, history, approvals, the freeze.
    Ui(UiArgs),
    /// Send money out, within the policy's caps.
    Send(SendArgs),
    /// Look after the keys: export, import, rotate.
    #[command(subcommand)]
    Wallet(WalletCommand),
    /// Ask the chains about payments whose outcome is unknown.
    Reconcile,
    /// Look after the ledger.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Pay on the way: a proxy for programs that only speak HTTP, SDKs with a base URL among them.
    Proxy(ProxyArgs),
    /// Put a price on an API: a reverse proxy that charges per call.
    Gateway(GatewayArgs),
    /// Verify and settle payments for sellers, over HTTP.
    Facilitator(FacilitatorArgs),
    /// Let an agent find paid APIs, see prices, pay and get its data: an MCP server.
    Mcp(McpArgs),
    /// Stand between an MCP client and an MCP server, and ask the policy about every call of a tool.
    Guard(Box<GuardArgs>),
    /// Check a policy, explain it, try it out, and prove what it allows.
    #[command(subcommand)]
    Policy(Box<PolicyCommand>),
    /// Stop every payment and every guarded call at once, in every process.
    Freeze(FreezeArgs),
    /// End the freeze.
    Thaw(ThawArgs),
    /// Look at what waits for a person, and decide.
    #[command(subcommand)]
    Approvals(ApprovalsCommand),
    /// Read the record: who called what, what was decided, and what it cost.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Put Farthing's MCP server into the configuration of your agents: Claude, Cursor, Codex and others.
    Install(InstallArgs),
    /// Take Farthing's MCP server out of the configuration of your agents again.
    Uninstall(UninstallArgs),
    /// Check everything that could keep the wallet from working: files, keys, chains, clock, policy, ledger.
    Doctor(DoctorArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the manual page, or write the pages of all commands into a folder.
    #[command(after_help = "Example:\n  farthing man ~/.local/share/man/man1    then `man farthing-send`")]
    Man {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// Print completions for a shell.
    #[command(
        after_help = "Example:\n  farthing completions bash > ~/.local/share/bash-completion/completions/farthing"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing init                              asks for a passphrase, shows the recovery phrase once, and offers to keep
                                             the passphrase in the keyring, so that your agents can pay
  FARTHING_PASSPHRASE=… farthing init --yes  asks nothing, for unattended machines
  farthing init --import phrase < phrase.txt brings a wallet along")]
pub(crate) struct InitArgs {
    /// Ask nothing. The passphrase comes from FARTHING_PASSPHRASE or the configured source.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Bring a key along, read from stdin, instead of making one.
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) import: Option<ImportKind>,
    /// Print the new recovery phrase to stdout, although nobody was asked.
    #[arg(long, conflicts_with = "import")]
    pub(crate) print_phrase: bool,
    /// How many words the new recovery phrase has.
    #[arg(long, default_value = "12", value_parser = ["12", "24"], conflicts_with = "import")]
    pub(crate) words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportKind {
    /// A BIP-39 recovery phrase.
    Phrase,
    /// A raw private key: 32 bytes in hex.
    Key,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing fund                                       the address and its QR code
  farthing fund --network base-sepolia --amount '$5'  on a local chain: five dollars")]
pub(crate) struct FundArgs {
    /// Only this network: base, base-sepolia, or a CAIP-2 id.
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// On a local development chain: get this much.
    #[arg(long)]
    pub(crate) amount: Option<Price>,
}

/// What identifies a request.
#[derive(Debug, Args)]
pub(crate) struct RequestArgs {
    /// The method; POST when there is a body, else GET.
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub(crate) method: Option<http::Method>,
    /// The body; @FILE reads it from a file, @- from stdin.
    #[arg(short = 'd', long, value_name = "BODY")]
    pub(crate) data: Option<String>,
    /// A header, `Name: value`. May be given again.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    /// Pay at most this much for the call, within what the policy allows.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_amount: Option<Price>,
    /// Pay on this network only: base, base-sepolia, or a CAIP-2 id.
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// Pay in this protocol only.
    #[arg(long, value_parser = ["x402-v1", "x402-v2"])]
    pub(crate) protocol: Option<String>,
    /// The price that was advertised, for the policy's `max_over_advertised`.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) advertised: Option<Price>,
    /// Who calls: one of the policy's agents.
    #[arg(long, value_name = "NAME", env = "FARTHING_AGENT", hide_env_values = true)]
    pub(crate) agent: Option<String>,
    /// The session that the policy's session budgets count in; each call is one by default.
    #[arg(long, value_name = "ID", env = "FARTHING_SESSION", hide_env_values = true)]
    pub(crate) session: Option<String>,
    /// How many seconds an answer may take to begin.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing check https://api.example.com/weather
  farthing check https://api.example.com/render -d '{\"size\":1024}' --json")]
pub(crate) struct CheckArgs {
    /// The address to call.
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing fetch https://api.example.com/weather?city=Berlin
  farthing fetch https://api.example.com/render -d @scene.json -o scene.png
  farthing fetch https://api.example.com/weather --max-amount '$0.01' --network base
  farthing fetch https://api.example.com/weather --dry-run      signs nothing
  farthing fetch --resume 01J…                                  an earlier payment again")]
pub(crate) struct FetchArgs {
    /// The address to call.
    #[arg(required_unless_present = "resume")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) request: RequestArgs,
    /// Write the body to a file.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show offers, choice, decision and remaining budgets. Signs nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the answer's status and headers to stderr.
    #[arg(short = 'i', long)]
    pub(crate) include: bool,
    /// Send the payment of this earlier purchase again instead of making a new one: the same call, with -d and -H as
    /// they were.
    // Its amount, network and protocol are signed already.
    #[arg(long, value_name = "PURCHASE", conflicts_with_all = ["dry_run", "max_amount", "network", "protocol", "advertised"])]
    pub(crate) resume: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Recompute the journal's hash chain and compare every record with it.
    Verify {
        /// The ledger file; the wallet's own by default.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The head that an earlier run printed: says how many rows came after it, and notices a journal that was cut
        /// off or written anew since.
        #[arg(long, value_name = "HASH", value_parser = hash)]
        expect_head: Option<String>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  farthing facilitator -c facilitator.yaml")]
pub(crate) struct FacilitatorArgs {
    /// The configuration; docs/facilitator.md explains every key.
    #[arg(short, long, default_value = "facilitator.yaml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Read the configuration and exit.
    #[arg(long)]
    pub(crate) check: bool,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show where files are, what is configured, and the policy in words.
    Show,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_signed_already_is_not_limited_any_more() {
        for limit in [["--max-amount", "$1"], ["--network", "base"], ["--protocol", "x402-v2"]] {
            let arguments = ["farthing", "fetch", "--resume", "01ID"].into_iter().chain(limit);
            let refused = Cli::try_parse_from(arguments).unwrap_err();
            assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict, "{limit:?}");
        }
    }
}
