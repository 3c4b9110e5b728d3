//! The arguments of `farthing discover` and `farthing search`.

use clap::Args;
use farthing_money::{Network, Price};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing discover api.example.com                  what it says that it sells
  farthing discover api.example.com --live           and what its routes really charge
  farthing discover api.example.com api.example.org --json

It reads /openapi.json, /.well-known/x402, /.well-known/mpp and llms.txt. --live asks the routes that are listed under GET
or HEAD, never any other method. Nothing is paid. docs/discovery.md lists what can be wrong.")]
pub(crate) struct DiscoverArgs {
    /// The origins: hosts, or addresses whose path is left out.
    #[arg(required = true, value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,
    /// Ask the routes for their live price, and compare.
    #[arg(long)]
    pub(crate) live: bool,
    /// Show what is not priced, what calls take, guidance for agents, and findings that are only worth knowing.
    #[arg(long, short)]
    pub(crate) all: bool,
    /// How many seconds one document or route may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing search weather forecast
  farthing search 'image generation' --max-price '$0.05' --network base
  farthing search weather --index https://facilitator.example.com

The indexes are those of `indexes` in config.yaml; they are asked only when you search. Nothing is paid.")]
pub(crate) struct SearchArgs {
    /// What is looked for.
    #[arg(required = true, value_name = "WORD")]
    pub(crate) query: Vec<String>,
    /// Ask this index or facilitator instead of the configured ones. May be given again.
    #[arg(long, value_name = "URL")]
    pub(crate) index: Vec<String>,
    /// Only what is known to cost no more than this for a call, with --network there.
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) max_price: Option<Price>,
    /// Only what can be paid on this network: base, base-sepolia, or a CAIP-2 id.
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// At most so many results.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) limit: u16,
    /// How many seconds one answer of an index may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) timeout: u64,
}
