//! The arguments of `farthing mcp`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing install --client claude-code            lets Claude Code start it; see `farthing install --help`
  claude mcp add farthing -- farthing mcp          the same by hand
  farthing mcp --agent researcher                  under the sub-budget of one of the policy's agents
  farthing mcp --listen 127.0.0.1:4022             over streamable HTTP, at http://127.0.0.1:4022/mcp

Tools: search, discover, check, pay, fetch_again, balance, budget, history, fund. None of them changes a cap, shows a
key or approves a payment. docs/mcp.md has it all.")]
pub(crate) struct McpArgs {
    /// Serve streamable HTTP at this address of this machine, instead of one client over stdin and stdout.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// The file with the bearer token that clients over HTTP show; without it one is made and printed at the start.
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file: Option<PathBuf>,
    /// Who calls: one of the policy's agents.
    #[arg(long, value_name = "NAME", env = "FARTHING_AGENT", hide_env_values = true)]
    pub(crate) agent: Option<String>,
    /// The session that the policy's session budgets count in; each run is one by default.
    #[arg(long, value_name = "ID", env = "FARTHING_SESSION", hide_env_values = true)]
    pub(crate) session: Option<String>,
}
