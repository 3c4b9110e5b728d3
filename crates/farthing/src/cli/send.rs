//! The arguments of `farthing send`.

use std::path::PathBuf;

use clap::Args;
use farthing_money::{Network, Price};
use farthing_wallet::CallLimits;
use url::Url;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing send 0x209693Bc6afc0C5328bA36FaF03C514EF312287C '$5' --network base
  farthing send 0x2096… all --network base --via https://facilitator.example.com   needs no ETH
  farthing send 0x2096… '$500' --network base --beyond-policy    a person, who types the passphrase
  farthing send --resume 01J…                                    an earlier transfer again, never twice

Within the caps of policy.yaml, as a payment to the host `send.invalid`. Without --via, and without `facilitator` in
config.yaml, the wallet's own ETH pays the gas.")]
pub(crate) struct SendArgs {
    /// The address to send to.
    #[arg(required_unless_present = "resume", value_name = "ADDRESS")]
    pub(crate) to: Option<String>,
    /// How much, such as '$5' or 0.25; `all` is everything that the wallet holds.
    #[arg(required_unless_present = "resume")]
    pub(crate) amount: Option<Amount>,
    /// On which network: base, base-sepolia, or a CAIP-2 id. Needed where several are configured.
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// Let the facilitator at this address bring it onto the chain: no ETH is needed.
    #[arg(long, value_name = "URL", conflicts_with = "direct")]
    pub(crate) via: Option<Url>,
    /// Pay the gas out of the wallet's ETH, although config.yaml names a facilitator.
    #[arg(long)]
    pub(crate) direct: bool,
    /// Who sends: one of the policy's agents; FARTHING_AGENT where nobody is named.
    // Not read from there by clap: it would take a variable for an argument, which --beyond-policy excludes.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The session that the policy's session budgets count in; each transfer is one by default.
    #[arg(long, value_name = "ID", env = "FARTHING_SESSION", hide_env_values = true)]
    session: Option<String>,
    /// Ask nothing. Only what the policy allows is sent.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Send it although the policy refuses. Only at a terminal, by somebody who types the passphrase.
    #[arg(long, conflicts_with_all = ["yes", "resume", "agent"])]
    pub(crate) beyond_policy: bool,
    /// Bring this earlier transfer onto the chain, with the same signature.
    #[arg(long, value_name = "PURCHASE", conflicts_with_all = ["to", "amount", "network", "yes"])]
    pub(crate) resume: Option<String>,
    /// Send from another key file, such as the one that `farthing wallet rotate --new-key` kept.
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

impl SendArgs {
    /// Who sends, and in which session. Beyond the policy it is the person who types the passphrase, whatever agent's
    /// environment this is.
    pub(crate) fn limits(&self) -> CallLimits {
        if self.beyond_policy {
            return CallLimits::default();
        }
        let environment =
            || std::env::var_os("FARTHING_AGENT").map(|name| name.to_string_lossy().into_owned());
        let agent = self.agent.clone().or_else(environment);
        CallLimits { agent, session: self.session.clone(), ..CallLimits::default() }
    }
}

/// How much to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Everything that the wallet holds.
    All,
    /// So much.
    Of(Price),
}

impl std::str::FromStr for Amount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::Of).map_err(|error: farthing_money::MoneyError| error.to_string())
    }
}
