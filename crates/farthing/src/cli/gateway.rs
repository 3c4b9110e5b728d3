//! `farthing gateway`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing gateway -c gateway.yaml
  farthing gateway check -c gateway.yaml             what is wrong with it, and what buyers will see
  farthing gateway check --url https://api.example.com   the same of one that runs")]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    pub(crate) command: Option<GatewayCommand>,
    /// The configuration; docs/gateway.md explains every key. gateway.yaml, if nothing else is said.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The same as `farthing gateway check`.
    #[arg(long)]
    pub(crate) check: bool,
    /// Listen here instead of where the configuration says.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<std::net::SocketAddr>,
}

impl GatewayArgs {
    /// The configuration's file.
    pub(crate) fn config(&self) -> &Path {
        self.config.as_deref().unwrap_or(Path::new("gateway.yaml"))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    /// Check a configuration, or a gateway that runs, as buyers' software reads it. Never pays.
    Check(GatewayCheckArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing gateway check -c gateway.yaml
  farthing gateway check --url https://api.example.com --json
  farthing gateway check --url http://127.0.0.1:4020 --all-methods

Exit codes: 0 nothing is wrong, or nothing that keeps buyers away; 2 something does; 3 it cannot be reached.")]
pub(crate) struct GatewayCheckArgs {
    /// Check what answers at this origin, in the place of a configuration. Of one that is given with -c, the `assets` count.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) url: Option<String>,
    /// Ask POST, PUT, PATCH and DELETE as well, without a body and without a payment. Where a price is missing, such a
    /// call does what it does.
    #[arg(long, requires = "url")]
    pub(crate) all_methods: bool,
}
