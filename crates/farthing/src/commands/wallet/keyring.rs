//! `farthing wallet keyring`: whether the operating system's keyring unlocks the wallet.

use farthing_ambient::causes;
use farthing_keystore::{Keystore, UnlockError, forget_in_keyring, keep_in_keyring};
use serde_json::json;

use crate::cli::{KeepArgs, KeyringCommand};
use crate::commands::person::{typed_passphrase, typed_unlock};
use crate::exit::{Code, Failure};
use crate::output::{GOOD, Output};
use crate::session::Session;
use crate::unattended::Opener;

pub(super) fn run(session: &Session, command: &KeyringCommand, output: Output) -> Result<(), Failure> {
    match command {
        KeyringCommand::Keep(args) => keep(session, args, output),
        KeyringCommand::Forget => forget(&session.keystore()?, output),
    }
}

fn keep(session: &Session, args: &KeepArgs, output: Output) -> Result<(), Failure> {
    let keystore = session.keystore()?;
    let passphrase = if args.unattended { session.passphrase(&keystore)? } else { typed_passphrase()? };
    // One that does not open it would be asked for no more, and fail each time.
    keystore.unlock(&passphrase).map_err(|error| Failure::new(Code::Locked, causes(&error)))?;
    keep_in_keyring(keystore.info().evm, &passphrase).map_err(|error| {
        refused(&error).hint("`unlock: {command: …}` in config.yaml needs no keyring; docs/wallet.md")
    })?;
    say("kept", "in the keyring", &keystore, output);
    if Opener::of(session.config().unlock.as_ref(), &keystore) != Opener::Keyring {
        output.warn("`unlock` in config.yaml names something else, and the keyring is not asked");
    }
    Ok(())
}

/// Only for somebody who knows the passphrase: `init --yes` made one up that nobody but the keyring has.
fn forget(keystore: &Keystore, output: Output) -> Result<(), Failure> {
    typed_unlock(keystore)?;
    forget_in_keyring(keystore.info().evm).map_err(|error| refused(&error))?;
    say("forgotten", "by the keyring", keystore, output);
    Ok(())
}

fn say(what: &str, place: &str, keystore: &Keystore, output: Output) {
    let address = keystore.info().evm.to_checksum(None);
    if output.json {
        output.json(&json!({"keyring": what, "address": address}));
    } else {
        output.line(format!("{GOOD}{what}{GOOD:#} {place}: the passphrase of {address}"));
    }
}

fn refused(error: &UnlockError) -> Failure {
    let why = match error {
        UnlockError::Keyring(why) => why.clone(),
        error => causes(error),
    };
    Failure::new(Code::Configuration, format!("the keyring did not do it: {why}"))
}
