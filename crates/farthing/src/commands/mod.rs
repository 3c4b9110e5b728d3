//! One file per command, and what several of them say or print (`body`, `go_on`, `request`).

pub(crate) mod address;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod balance;
mod body;
pub(crate) mod check;
pub(crate) mod config;
mod described;
pub(crate) mod discover;
pub(crate) mod facilitator;
pub(crate) mod fetch;
pub(crate) mod freeze;
pub(crate) mod fund;
pub(crate) mod gateway;
mod go_on;
pub(crate) mod guard;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod install;
pub(crate) mod ledger;
pub(crate) mod mcp;
pub(crate) mod policy;
pub(crate) mod receipt;
pub(crate) mod reconcile;
pub(crate) mod request;
pub(crate) mod search;
pub(crate) mod send;
pub(crate) mod ui;

use farthing_ambient::causes;
use farthing_keystore::{Keys, Keystore, ask_passphrase};

use crate::exit::{Code, Failure};

/// Decrypts keys with a passphrase that somebody types at the terminal, whatever the environment or the configuration would
/// give: for what no program may do.
fn typed_unlock(keystore: &Keystore) -> Result<Keys, Failure> {
    let passphrase = ask_passphrase().map_err(|error| {
        let what = format!("the passphrase has to be typed for this: {}", causes(&error));
        Failure::new(Code::Locked, what)
            .hint("run it at a terminal; the environment and `unlock` do not count here")
    })?;
    keystore.unlock(&passphrase).map_err(|error| Failure::new(Code::Locked, causes(&error)))
}
