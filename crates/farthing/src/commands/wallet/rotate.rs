//! `farthing wallet rotate`: another passphrase, or another key. No key is ever lost by it.

use alloy_primitives::Address;
use farthing_ambient::{OsEntropy, causes};
use farthing_keystore::{
    Exchanged, Keystore, KeystoreError, Passphrase, Phrase, ask_new_passphrase, replace_in_keyring,
};
use farthing_ledger::PurchaseFilter;
use farthing_money::BaseUnits;
use farthing_wallet::{Balance, CallLimits, Transfer, Verdict, Wallet as _};
use serde_json::{Value, json};

use crate::cli::{InitArgs, RotateArgs};
use crate::commands::balance;
use crate::commands::go_on::{plain_command, quoted};
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
    let address = keystore.info().evm;
    in_keyring(address, address, &new, output);
    let address = address.to_checksum(None);
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

/// Where the keyring unlocks the old keys it has to know the passphrase of the new ones. That of an old key stays: its file
/// does as well.
fn in_keyring(old: Address, new: Address, passphrase: &Passphrase, output: Output) {
    if let Err(error) = replace_in_keyring(old, new, passphrase) {
        output.warn(format_args!("the keyring does not have the new passphrase: {}", causes(&error)));
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
    in_keyring(keystore.info().evm, exchanged.new.evm, &new, output);
    let moves = moves(session, keystore, &exchanged, &held).await;
    say(keystore, &exchanged, &held, &moves, phrase.filter(|_| !args.unattended).as_ref(), output);
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

fn say(
    old: &Keystore,
    exchanged: &Exchanged,
    held: &[Balance],
    moves: &[String],
    phrase: Option<&Phrase>,
    output: Output,
) {
    let address = exchanged.new.evm.to_checksum(None);
    let kept = exchanged.kept.to_string_lossy();
    output.warn(
        "a `farthing mcp` or `farthing proxy` that runs pays from the old address until it is restarted",
    );
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

/// How what the old address holds comes to the new one. A chain that did not say may have something.
async fn moves(session: &Session, old: &Keystore, exchanged: &Exchanged, held: &[Balance]) -> Vec<String> {
    let to = exchanged.new.evm.to_checksum(None);
    let kept = quoted(&exchanged.kept.to_string_lossy());
    let mut moves = Vec::new();
    for held in held {
        let amount = held.amount.as_ref().ok();
        if amount.is_some_and(|amount| amount.get() == 0) {
            continue;
        }
        // What goes wrong here must not hide the new address: then a person moves it.
        let allowed = match amount {
            Some(amount) => caps_allow(session, old, held, &to, *amount).await.unwrap_or(false),
            None => false,
        };
        let beyond = if allowed { "" } else { " --beyond-policy" };
        let send = format!("send {to} all --network {} --key-file {kept}{beyond}", held.asset.network);
        moves.push(plain_command(&send, session.home()));
    }
    moves
}

/// Whether everything may go there at once, without a person.
async fn caps_allow(
    session: &Session,
    old: &Keystore,
    held: &Balance,
    to: &str,
    amount: BaseUnits,
) -> Result<bool, Failure> {
    let transfer = Transfer::new(&held.asset, to, amount)?;
    let wallet = session.wallet_of(session.payer(old.clone())?, session.policy()?.into())?;
    let limits = CallLimits::default();
    let appraisal = wallet.appraise(&transfer.request, &transfer.challenge, &limits).await?;
    let chosen = appraisal.chosen.and_then(|chosen| appraisal.offers.get(chosen));
    let asks_nobody = chosen.is_some_and(
        |(_, verdict)| matches!(verdict, Verdict::Payable { clearance, .. } if clearance.approval.is_none()),
    );
    Ok(asks_nobody && appraisal.denied.is_none())
}
