//! What is to be sent, checked before anything is asked or unlocked.

use std::sync::Arc;

use alloy_primitives::Address;
use farthing_keystore::Keystore;
use farthing_money::{Asset, BaseUnits, Network};
use farthing_policy::Policy;
use farthing_rail::Payer;
use farthing_wallet::Transfer;

use crate::cli::{Amount, SendArgs};
use crate::exit::{Code, Failure};
use crate::output::printable;
use crate::session::Session;

/// A transfer that can be made, if the policy and the chain agree.
pub(super) struct Plan {
    pub(super) keystore: Keystore,
    /// Pays, once it is unlocked.
    pub(super) payer: Arc<dyn Payer>,
    pub(super) asset: Arc<Asset>,
    pub(super) from: String,
    /// The receiver, with the checksum in its letters' case.
    pub(super) to: String,
    pub(super) amount: BaseUnits,
    /// What the wallet holds, when the chain said so.
    pub(super) held: Option<BaseUnits>,
    pub(super) transfer: Transfer,
}

impl Plan {
    pub(super) async fn of(session: &Session, args: &SendArgs) -> Result<Self, Failure> {
        let keystore = keystore(session, args)?;
        let network = network(session, args)?;
        let registry = session.config().registry()?;
        let asset = registry.usdc(&network).map_err(wrong)?.clone();
        let from = keystore.info().evm;
        let to = receiver(args.to.as_deref().unwrap_or_default(), from, &asset)?;
        let payer = session.payer(keystore.clone())?;
        let held = payer.balance(&asset).await;
        let amount = match args.amount {
            Some(Amount::Of(price)) => price.in_asset(&asset).map_err(wrong)?,
            _ => held.as_ref().copied().map_err(|error| Failure::new(Code::Unreachable, error))?,
        };
        if amount == BaseUnits::ZERO {
            return Err(Failure::new(
                Code::Unpayable,
                format!("there is nothing to send on {}", network.display_name()),
            ));
        }
        let transfer = Transfer::new(&asset, &to, amount)?;
        let from = from.to_checksum(None);
        Ok(Self { keystore, payer, asset, from, to, amount, held: held.ok(), transfer })
    }

    /// A policy that allows this transfer and nothing else: what a person decides who goes beyond the caps.
    pub(super) fn policy_of_its_own(&self) -> Result<Policy, Failure> {
        let value = self.asset.value(self.amount).map_err(wrong)?;
        let text = format!(
            "version: 1\npayments:\n  max: \"{value}\"\n  hosts: {{allow: [\"{}\"]}}\n  payees: {{allow: [\"{}\"]}}\n  \
             networks: {{allow: [\"{}\"]}}\n",
            Transfer::HOST,
            self.to,
            self.asset.network
        );
        Policy::parse(&text).map_err(|error| Failure::new(Code::Unexpected, error))
    }
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Configuration, error)
}

/// The wallet's keys, or those of another file that was named.
pub(super) fn keystore(session: &Session, args: &SendArgs) -> Result<Keystore, Failure> {
    match &args.key_file {
        None => session.keystore(),
        Some(file) => Keystore::open_file(file)
            .map_err(|error| Failure::new(Code::Locked, farthing_ambient::causes(&error))),
    }
}

/// The network that was named; the only one there is.
fn network(session: &Session, args: &SendArgs) -> Result<Network, Failure> {
    let known: Vec<_> = session.config().networks().into_keys().collect();
    match (&args.network, known.as_slice()) {
        (Some(network), _) if known.contains(network) => Ok(network.clone()),
        (Some(network), _) => {
            Err(Failure::new(Code::Configuration, format!("the network {network} is not configured"))
                .hint("`networks` in config.yaml names the networks that may be paid on"))
        }
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            let names: Vec<_> = known.iter().map(|network| network.display_name()).collect();
            Err(Failure::new(
                Code::Configuration,
                format!("on which network? There are {}", names.join(", ")),
            )
            .hint("an address exists on every one of them; `--network base` names one"))
        }
    }
}

/// Reads the receiver. A checksum in its letters' case must be right: it is there to find typing errors.
fn receiver(text: &str, own: Address, asset: &Asset) -> Result<String, Failure> {
    let refuse = |why: &str| {
        Failure::new(Code::Configuration, format!("`{}` cannot be sent to: {why}", printable(text)))
            .hint("nothing was sent")
    };
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40);
    let address: Address = digits
        .and_then(|_| text.parse().ok())
        .ok_or_else(|| refuse("an address is 0x and 40 hexadecimal digits"))?;
    let digits = digits.unwrap_or_default();
    let one_case =
        !digits.bytes().any(|b| b.is_ascii_lowercase()) || !digits.bytes().any(|b| b.is_ascii_uppercase());
    let checksummed = address.to_checksum(None);
    if !one_case && checksummed != text {
        return Err(refuse("the letters' case does not fit the address, so there is a typo in it"));
    }
    if address.is_zero() {
        return Err(refuse("what is sent to the zero address is lost"));
    }
    if address == own {
        return Err(refuse("it is this wallet's own address"));
    }
    if asset.network.same_address(&asset.address, &checksummed) {
        return Err(refuse("it is the token's own contract, where money is lost"));
    }
    Ok(checksummed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_money::Registry;

    const TO: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

    fn read(text: &str) -> Result<String, String> {
        let registry = Registry::builtin();
        let own = "0x857b06519E91e3A54538791bDbb0E22373e36b66".parse().unwrap();
        receiver(text, own, registry.usdc(&Network::BASE).unwrap()).map_err(|failure| failure.message)
    }

    #[test]
    fn a_receiver_is_read_in_any_case_that_holds_no_typo() {
        for text in [TO, &TO.to_lowercase(), &format!("0x{}", TO[2..].to_uppercase())] {
            assert_eq!(read(text).unwrap(), TO);
        }
    }

    #[test]
    fn money_is_not_sent_where_it_would_be_lost() {
        for (text, why) in [
            ("0x209693bc6afc0C5328bA36FaF03C514EF312287C", "typo"),
            ("0x0000000000000000000000000000000000000000", "zero address"),
            ("0x857b06519E91e3A54538791bDbb0E22373e36b66", "own address"),
            ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "contract"),
            ("209693Bc6afc0C5328bA36FaF03C514EF312287C", "40 hexadecimal digits"),
            ("0x2096", "40 hexadecimal digits"),
            ("vitalik.eth", "40 hexadecimal digits"),
            ("", "40 hexadecimal digits"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
