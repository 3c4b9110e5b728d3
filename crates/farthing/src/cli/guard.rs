//! `farthing guard`: a drop-in for Intercept's command line, and more.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing guard -c policy.yaml -- npx -y @modelcontextprotocol/server-github
  farthing guard -c policy.yaml --upstream https://mcp.example.com --header 'Authorization: Bearer …'
  farthing guard -c policy.yaml --transport http --upstream https://mcp.example.com --port 8080
  farthing guard scan -o policy.yaml -- npx -y @modelcontextprotocol/server-github
  farthing guard --compat intercept validate -c policy.yaml")]
pub(crate) struct GuardArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GuardCommand>,

    /// Say what another guard would say, to the letter.
    #[arg(long, global = true, value_enum, value_name = "WHICH")]
    pub(crate) compat: Option<Compat>,

    /// The policy; docs/policy.md explains every key. By default policy.yaml in the wallet's folder.
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) server: ServerArgs,

    /// How the client speaks with the guard.
    #[arg(long, value_enum)]
    pub(crate) transport: Option<Transport>,

    /// Where to listen, with --transport http or sse.
    #[arg(long, value_name = "ADDR", requires = "transport")]
    pub(crate) bind: Option<IpAddr>,

    /// The port to listen on; 0 takes a free one.
    #[arg(long, requires = "transport")]
    pub(crate) port: Option<u16>,

    /// Also answer to this host name, with --transport http or sse. May be given again.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,

    /// Also answer pages of this origin, with --transport http or sse. May be given again.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,

    /// The environment variable with the bearer token that clients have to show, with --transport http or sse. Needed
    /// to listen elsewhere than on this machine.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) token_env: Option<String>,

    /// The server's name in the policy's counters and in the record; by default it follows from the command or URL.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Who calls: one of the policy's agents.
    #[arg(long, value_name = "NAME", env = "FARTHING_AGENT", hide_env_values = true)]
    pub(crate) agent: Option<String>,

    /// The session that session budgets count in; by default each run is one.
    #[arg(long, value_name = "ID", env = "FARTHING_SESSION", hide_env_values = true)]
    pub(crate) session: Option<String>,

    /// How many seconds the server may take for an answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) call_timeout: u64,

    /// The folder of the record and of the counters, in the place of the wallet's: `farthing --home DIR freeze`,
    /// `approvals` and `audit` reach it there.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// How much to say on stderr.
    #[arg(long, value_name = "LEVEL", value_parser = ["debug", "info", "warn", "error"])]
    pub(crate) log_level: Option<String>,
}

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// The server's address, when it is reached over HTTP.
    #[arg(long, value_name = "URL", conflicts_with = "child")]
    pub(crate) upstream: Option<String>,

    /// A header for the server, `Name: value`. May be given again.
    #[arg(long = "header", value_name = "HEADER", requires = "upstream")]
    pub(crate) headers: Vec<String>,

    /// The server's command, when it is started as a child.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) child: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuardCommand {
    /// Check a policy without starting anything: exit 0 or 1.
    Validate,
    /// List a server's tools as a policy that can be filled in.
    Scan(ScanArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,

    /// Write the policy here instead of to stdout.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// How many seconds the server may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compat {
    /// PolicyLayer Intercept: its texts of denials and of validation.
    Intercept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    /// Standard input and output.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// HTTP with server-sent events, as clients of 2024 speak.
    Sse,
}
