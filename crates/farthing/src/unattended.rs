//! What opens the wallet for a program that a client of an agent starts: nobody can be asked there, and nothing of this
//! shell's environment need be there.

use std::fmt;

use farthing_ambient::causes;
use farthing_keystore::{Keystore, Unlock, is_in_keyring};

use crate::output::printable;

/// What opens it, or why nothing does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    /// The program that `unlock` in config.yaml names.
    Command,
    /// The operating system's keyring, which has the passphrase.
    Keyring,
    /// A descriptor, which whoever starts the program has to open.
    Descriptor(u32),
    /// Nothing.
    Nothing(Obstacle),
}

/// Why nothing opens it, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    why: String,
    pub(crate) hint: &'static str,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = printable(&self.why);
        write!(f, "your agents cannot pay, unless FARTHING_PASSPHRASE is handed to them: {why}")
    }
}

/// Where there is no keyring.
const NAME_A_COMMAND: &str =
    "name a program that prints the passphrase in config.yaml: `unlock: {command: [pass, show, farthing]}`";

impl Opener {
    /// Asks the keyring, where it is the one to be asked: that takes half a minute at most.
    pub(crate) fn of(configured: Option<&Unlock>, keystore: &Keystore) -> Self {
        let nothing = |why: String, hint| Self::Nothing(Obstacle { why, hint });
        match configured {
            Some(Unlock::Command(_)) => Self::Command,
            Some(Unlock::Fd(descriptor)) => Self::Descriptor(*descriptor),
            Some(Unlock::Prompt) => {
                nothing("`unlock: prompt` in config.yaml asks a person".to_owned(), NAME_A_COMMAND)
            }
            Some(Unlock::Keyring) | None => match is_in_keyring(keystore.info().evm) {
                Ok(true) => Self::Keyring,
                Ok(false) => nothing(
                    "the keyring does not have the passphrase".to_owned(),
                    "`farthing wallet keyring keep` gives it to the keyring",
                ),
                Err(error) => nothing(causes(&error), NAME_A_COMMAND),
            },
        }
    }

    /// Why a client's server stays locked. A client hands it no descriptor.
    pub(crate) fn obstacle_for_clients(self) -> Option<Obstacle> {
        match self {
            Self::Command | Self::Keyring => None,
            Self::Descriptor(descriptor) => {
                let why =
                    format!("`unlock: {{fd: {descriptor}}}` in config.yaml needs somebody who opens it");
                Some(Obstacle { why, hint: NAME_A_COMMAND })
            }
            Self::Nothing(obstacle) => Some(obstacle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farthing_ambient::OsEntropy;
    use farthing_keystore::{Cost, NewKey, Passphrase, Phrase};

    #[test]
    fn what_is_configured_opens_it_or_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("wallet");
        let phrase = Phrase::parse("test test test test test test test test test test test junk").unwrap();
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        let passphrase = Passphrase::new("p".to_owned());
        Keystore::create_at_cost(&home, NewKey::Phrase(phrase), &passphrase, &OsEntropy, cost).unwrap();
        let keystore = Keystore::open(&home).unwrap();
        let opener = |unlock: &Unlock| Opener::of(Some(unlock), &keystore);
        assert_eq!(opener(&Unlock::Command(vec!["pass".to_owned()])).obstacle_for_clients(), None);
        assert_eq!(opener(&Unlock::Fd(3)), Opener::Descriptor(3));
        for unlock in [Unlock::Fd(3), Unlock::Prompt] {
            let obstacle = opener(&unlock).obstacle_for_clients().unwrap();
            assert!(obstacle.why.contains("unlock: ") && obstacle.hint.contains("command"), "{obstacle:?}");
        }
    }
}
