//! `farthing wallet rotate`: another passphrase, or another key. No key is ever lost by it.

use farthing_ambient::{OsEntropy, causes};
use farthing_keystore::{
    Exchanged, Keystore, KeystoreError, Passphrase, Phrase, ask_new_passphrase, replace_in_keyring,
};
use farthing_ledger::PurchaseFilter;
use farthing_wallet::{Balance, Wallet as _};
use serde_json::{Value, json};

use crate::cli::{InitArgs, RotateArgs};
use crate::commands::balance;
use crate::commands::person::{is_there, typed_passphrase, yes};
use crate::exit::{Code, Failure};
use crate::output::{DIM, GOOD, Output, STRONG, WARN, printable};
use crate::progress::shown;
use crate::session::Session;

/// Where the new passphrase comes from when nobody can type it.
const NEW_PASSPHRASE: &str = "FARTHING_NEW_PASSPHRASE";

pub(super) async fn run(session: &Session, args: &RotateArgs, output: Output) -> Result<(), Failure> {
    let keystore = session.keystore()?;
    if args.new_key {
        return new_key(session, &keystore, args, output).await;
    }
    let old = old_passphrase(session, &keystore, args)?;
    // Before the new one is asked for.
    keystore.unlock(&old).map_err(locked)?;
    let new = new_passphrase(args)?;
    keystore.rewrap(&old, &new, &OsEntropy).map_err(locked)?;
    in_keyring(&keystore, &new, output);
    let address = keystore.info().evm.to_checksum(None);
    if output.json {
        output.json(&json!({"rotated": "passphrase", "address": address}));
    } else {
        output.line(format!("{GOOD}changed{GOOD:#} the passphrase of {address}"));
        output.note(format!("{DIM}a copy of the old file still opens with the old one{DIM:#}"));
    }
    Ok(())
}

fn old_passphrase(session: &Session, keystore: &Keystore, args: &RotateArgs) -> Result<Passphrase, Failure> {
    if args.unattended { session.passphrase(keystore) } else { typed_passphrase() }
}

fn new_passphrase(args: &RotateArgs) -> Result<Passphrase, Failure> {
    if !args.unattended {
        return ask_new_passphrase().map_err(|error| Failure::new(Code::Locked, causes(&error)));
    }
    let given = std::env::var(NEW_PASSPHRASE).ok().filter(|text| !text.is_empty());
    given.map(Passphrase::new).ok_or_else(|| {
        Failure::new(Code::Locked, format!("{NEW_PASSPHRASE} is not set, and --unattended asks nobody"))
            .hint("nothing was changed")
    })
}

fn locked(error: KeystoreError) -> Failure {
    Failure::new(Code::Locked, causes(&error)).hint("nothing was changed")
}

/// Where the keyring unlocks these keys it has to know the new passphrase.
fn in_keyring(keystore: &Keystore, new: &Passphrase, output: Output) {
    if let Err(error) = replace_in_keyring(keystore.info().evm, new) {
        output.warn(format_args!("the keyring still has the old passphrase: {}", causes(&error)));
    }
}

async fn new_key(
    session: &Session,
    keystore: &Keystore,
    args: &RotateArgs,
    output: Output,
) -> Result<(), Failure> {
    let asking = || "asking the chains what the old address holds".to_owned();
    let held = shown(output, asking, session.wallet()?.balances()).await;
    warn_of_open(session, output).await?;
    let old = old_passphrase(session, keystore, args)?;
    keystore.unlock(&old).map_err(locked)?;
    ask(args)?;
    let made =
        InitArgs { yes: args.unattended, import: args.import, print_phrase: false, words: "12".to_owned() };
    let (key, phrase) = crate::commands::init::key(&made)?;
    let new = new_passphrase(args)?;
    let exchanged = keystore.exchange(key, &new, &OsEntropy).map_err(locked)?;
    say(keystore, &exchanged, &held, phrase.filter(|_| !args.unattended).as_ref(), output);
    Ok(())
}

/// What was signed with the old key can still be settled, out of what the old address holds.
async fn warn_of_open(session: &Session, output: Output) -> Result<(), Failure> {
    let unresolved = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
    let open = session.ledger()?.purchases(unresolved).await?.len();
    if open > 0 {
        output.warn(format_args!("{open} purchases are open, and may still be paid by the old address"));
    }
    Ok(())
}

fn ask(args: &RotateArgs) -> Result<(), Failure> {
    let question = "Take a new key, and with it a new address? The old key file is kept.";
    if args.unattended || (is_there() && yes(question)?) {
        return Ok(());
    }
    Err(Failure::new(Code::Refused, "nothing was changed: you did not say yes"))
}

fn say(old: &Keystore, exchanged: &Exchanged, held: &[Balance], phrase: Option<&Phrase>, output: Output) {
    let address = exchanged.new.evm.to_checksum(None);
    let kept = exchanged.kept.to_string_lossy();
    let moves = moves(held, &address, &kept);
    if output.json {
        output.json(&json!({
            "rotated": "key", "address": address, "old_address": old.info().evm.to_checksum(None),
            "old_key_file": kept, "old_balances": balance::to_json(held), "next": moves,
            "phrase": phrase.map_or(Value::Null, |phrase| json!(phrase.words().as_str())),
        }));
        return;
    }
    output.line(format!("{GOOD}new{GOOD:#} address {STRONG}{address}{STRONG:#}"));
    output.line(format!("{DIM}the old key is kept in{DIM:#} {}", printable(&kept)));
    if let Some(phrase) = phrase {
        output.note(format!(
            "{WARN}Write these words down.{WARN:#} They are the wallet; they are not shown again."
        ));
        output.line(format!("{DIM}phrase{DIM:#}  {}", phrase.words().as_str()));
    }
    for command in moves {
        output.line(format!("{WARN}next{WARN:#}    {command}"));
    }
}

/// How what the old address holds comes to the new one, by a person: it may be more than the caps let out. A chain that did
/// not say may have something.
fn moves(held: &[Balance], address: &str, kept: &str) -> Vec<String> {
    let may_hold = |held: &&Balance| held.amount.as_ref().map_or(true, |amount| amount.get() > 0);
    let send = |held: &Balance| {
        format!(
            "farthing send {address} all --network {} --key-file '{kept}' --beyond-policy",
            held.asset.network
        )
    };
    held.iter().filter(may_hold).map(send).collect()
}
