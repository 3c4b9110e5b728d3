//! `farthing policy`, `freeze`, `thaw`, `approvals` and `audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use farthing_money::{Network, Price};

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Read a policy and say what is wrong with it, or what it means. Intercept's files too.
    #[command(after_help = "Examples:\n  farthing policy check\n  farthing policy check team.yaml --json")]
    Check {
        /// The policy; the wallet's own by default.
        file: Option<PathBuf>,
    },
    /// Say in words what a policy allows; or, for one call or payment, which rules it meets and what remains.
    Explain(Box<ExplainArgs>),
    /// Replay what happened, or a file of calls, against another policy: what would have changed.
    Simulate(SimulateArgs),
    /// Prove the most that can be spent, and by whom.
    Bound(BoundArgs),
    /// Bring another tool's policy along.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Print a ready policy to begin with.
    #[command(after_help = "Example:\n  farthing policy example team > policy.yaml")]
    Example {
        /// Which one: research-agent, coding-agent or team.
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing policy explain
  farthing policy explain --tool send_payment --arguments '{\"cents\": 4000}'
  farthing policy explain --pay https://api.example.com/weather --amount '$0.01' --payee 0x2096…")]
pub(crate) struct ExplainArgs {
    /// The policy; the wallet's own by default.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A call of this tool.
    #[arg(long, conflicts_with = "pay")]
    pub(crate) tool: Option<String>,
    /// The call's arguments, a JSON object; @FILE reads them from a file.
    #[arg(long, value_name = "JSON", requires = "tool", default_value = "{}")]
    pub(crate) arguments: String,
    /// The server whose tool it is, as `farthing guard --name` calls it.
    #[arg(long, value_name = "NAME", requires = "tool", default_value = "server")]
    pub(crate) server: String,
    /// A payment for this address.
    #[arg(long, value_name = "URL", requires = "amount", requires = "payee")]
    pub(crate) pay: Option<String>,
    /// How it is called.
    #[arg(short = 'X', long, default_value = "GET", requires = "pay")]
    pub(crate) method: String,
    /// How much is paid.
    #[arg(long, requires = "pay")]
    pub(crate) amount: Option<Price>,
    /// Who is paid.
    #[arg(long, value_name = "ADDRESS", requires = "pay")]
    pub(crate) payee: Option<String>,
    /// On which network.
    #[arg(long, default_value = "base", requires = "pay")]
    pub(crate) network: Network,
    /// Who calls or pays: one of the policy's agents.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing policy simulate stricter.yaml                   the wallet's payments and recorded calls
  farthing policy simulate stricter.yaml --calls calls.jsonl
A file of calls has one JSON object a line: {\"at\": \"2026-11-26T10:00:00Z\", \"tool\": \"send\", \"arguments\": {}}")]
pub(crate) struct SimulateArgs {
    /// The other policy.
    pub(crate) file: PathBuf,
    /// Calls of tools to replay, in the place of what the ledger recorded.
    #[arg(long, value_name = "FILE")]
    pub(crate) calls: Option<PathBuf>,
    /// Only what happened since: 2026-11-01 or 2026-11-01T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing policy bound
  farthing policy bound team.yaml --per day --agent researcher
  farthing policy bound --per day --most '$20'     exit 4 when more is possible")]
pub(crate) struct BoundArgs {
    /// The policy; the wallet's own by default.
    pub(crate) file: Option<PathBuf>,
    /// Over which stretch of time: minute, hour, day, week, month or lifetime; all of them by default.
    #[arg(long, value_name = "WINDOW")]
    pub(crate) per: Option<String>,
    /// For one agent and those below it; for the owner and all agents by default.
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Fail when more than this can be spent in --per.
    #[arg(long, value_name = "AMOUNT", requires = "per")]
    pub(crate) most: Option<Price>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// A policy of PolicyLayer Intercept: it runs as it is; this writes it out with what ours makes better.
    Intercept {
        /// Its file.
        file: PathBuf,
        /// Write the policy here instead of to stdout.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  farthing freeze 'the researcher pays for nonsense'")]
pub(crate) struct FreezeArgs {
    /// Why, for the record and for whoever is denied.
    #[arg(default_value = "stopped by hand")]
    pub(crate) why: String,
}

#[derive(Debug, Args)]
pub(crate) struct ThawArgs {}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// What waits; with --all also what was decided.
    #[command(after_help = "\
Examples:
  farthing approvals list
  farthing approvals list --all -n 1000")]
    List {
        /// Also what was decided, used or is over.
        #[arg(long)]
        all: bool,
        /// At most so many, the newest; 200 with --all, everything that waits without.
        #[arg(short = 'n', long)]
        limit: Option<u32>,
    },
    /// One of them, with its exact terms.
    Show {
        /// Its id.
        id: String,
    },
    /// Approve it: exactly these terms, once.
    Approve {
        /// Its id.
        id: String,
    },
    /// Refuse it.
    Deny {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// The last rows, and with --follow what comes.
    #[command(after_help = "Example:\n  farthing audit tail -n 50 --follow")]
    Tail {
        /// How many.
        #[arg(short = 'n', long, default_value_t = 20)]
        rows: u32,
        /// Go on until Ctrl-C.
        #[arg(short, long)]
        follow: bool,
        /// The ledger file; the wallet's own by default.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// The whole record, one JSON object a line.
    #[command(after_help = "\
Examples:
  farthing audit export > audit.jsonl
  farthing audit export --format otlp --to http://127.0.0.1:4318/v1/logs")]
    Export {
        /// jsonl, or OpenTelemetry's logs in JSON.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: AuditFormat,
        /// Send it to this OTLP/HTTP address instead of stdout.
        #[arg(long, value_name = "URL", requires = "format")]
        to: Option<String>,
        /// Only rows after this one.
        #[arg(long, value_name = "ROW", default_value_t = 0)]
        after: i64,
        /// The ledger file; the wallet's own by default.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Recompute the hash chain and compare every record, counter and budget with it.
    Verify {
        /// The ledger file; the wallet's own by default.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The head that an earlier run printed.
        #[arg(long, value_name = "HASH", value_parser = super::hash)]
        expect_head: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditFormat {
    /// One JSON object a line.
    Jsonl,
    /// OpenTelemetry's ExportLogsServiceRequest, in JSON.
    Otlp,
}
