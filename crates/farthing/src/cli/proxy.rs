//! The arguments of `farthing proxy`.

use std::net::SocketAddr;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  farthing proxy tokens add researcher     makes a token for one of the policy's agents, and prints it once
  farthing proxy                           listens at http://127.0.0.1:4020
  curl -H 'Authorization: Bearer fth_…' http://127.0.0.1:4020/https://api.example.com/weather
  OPENAI_BASE_URL=http://127.0.0.1:4020/https://inference.example/v1 OPENAI_API_KEY=fth_… python app.py
  farthing proxy --without-token           every program on this machine may pay, under the policy

docs/proxy.md has it all: headers, statuses, what is refused, and examples in Python."
)]
pub(crate) struct ProxyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ProxyCommand>,

    /// Listen here.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4020")]
    pub(crate) listen: SocketAddr,
    /// How many seconds an answer may take to begin, and its body may pause: models think long.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
    /// The longest body of a request, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..=256 << 20))]
    pub(crate) max_body: u32,
    /// Also answer to this host name; not with --without-token. May be given again.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_host: Vec<String>,
    /// Serve programs of this machine that show no token, too.
    #[arg(long)]
    pub(crate) without_token: bool,
    /// Who they are, with --without-token: one of the policy's agents; the wallet's owner by default.
    #[arg(long, value_name = "NAME", requires = "without_token")]
    pub(crate) agent: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Look after the tokens by which callers are known.
    #[command(subcommand)]
    Tokens(TokensCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Make a token for an agent, and print it: this once, as only its digest is kept.
    Add {
        /// One of the policy's agents.
        agent: String,
    },
    /// List the tokens, without what they are.
    List,
    /// Take a token back. Its next call is refused.
    Remove {
        /// Its id, as `list` shows it.
        id: String,
    },
}
