//! `farthing init`.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use farthing_ambient::{Entropy as _, OsEntropy, causes};
use farthing_keystore::{
    EvmKey, KeyInfo, Keystore, KeystoreError, NewKey, PASSPHRASE_VARIABLE, Passphrase, Phrase, Unlock,
    UnlockError, Words, is_in_keyring, keep_in_keyring,
};
use farthing_policy::Policy;
use serde_json::json;
use zeroize::Zeroizing;

use super::person;
use crate::cli::{ImportKind, InitArgs};
use crate::config::{Config, STARTER};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{DIM, GOOD, Output, STRONG, WARN};
use crate::unattended::Opener;

pub(crate) fn run(home: &Home, args: &InitArgs, output: Output) -> Result<(), Failure> {
    if home.folder().join(Keystore::FILE_NAME).exists() {
        let what = format!("there is a wallet in {} already", home.folder().display());
        return Err(Failure::new(Code::Configuration, what).hint("FARTHING_HOME names another folder"));
    }
    let config = Config::load(&home.config())?;
    let (key, phrase) = key(args)?;
    farthing_keystore::private_folder(home.folder()).map_err(broken)?;
    // Before the key: once it is sealed nothing may fail any more, or nobody would ever see the phrase.
    write_new(&home.config(), STARTER)?;
    write_new(&home.policy(), Policy::starter())?;
    let (info, typed) = seal(home, args, &config, key)?;
    say(home, &info, phrase.as_ref(), args, output);
    if let Some(passphrase) = typed {
        offer_keyring(&config, &info, &passphrase, output);
    }
    say_next(home, &config, output);
    Ok(())
}

/// The key, and the phrase when it is new and nobody knows it yet.
pub(super) fn key(args: &InitArgs) -> Result<(NewKey, Option<Phrase>), Failure> {
    let refused = |error: KeystoreError| Failure::new(Code::Configuration, causes(&error));
    Ok(match args.import {
        Some(ImportKind::Phrase) => (NewKey::Phrase(Phrase::parse(&secret()?).map_err(refused)?), None),
        Some(ImportKind::Key) => (NewKey::Raw(EvmKey::from_hex(&secret()?).map_err(refused)?), None),
        None => {
            let words = if args.words == "24" { Words::TwentyFour } else { Words::Twelve };
            let phrase = Phrase::generate(words, &OsEntropy).map_err(broken)?;
            (NewKey::Phrase(phrase.clone()), Some(phrase))
        }
    })
}

/// Encrypts the key under the passphrase that is given, asked for, or, where nobody can be asked, made up and left to
/// the keyring. Gives the one that somebody typed, too.
fn seal(
    home: &Home,
    args: &InitArgs,
    config: &Config,
    key: NewKey,
) -> Result<(KeyInfo, Option<Passphrase>), Failure> {
    let create = |passphrase: &Passphrase| {
        Keystore::create(home.folder(), key, passphrase, &OsEntropy).map_err(broken)
    };
    let environment = std::env::var_os(PASSPHRASE_VARIABLE);
    let given = environment.is_some_and(|value| !value.is_empty());
    let configured =
        config.unlock.as_ref().filter(|unlock| matches!(unlock, Unlock::Fd(_) | Unlock::Command(_)));
    if given || configured.is_some() {
        let address = Default::default();
        let passphrase = Unlock::passphrase(configured, address, std::env::var_os(PASSPHRASE_VARIABLE));
        return Ok((create(&passphrase.map_err(locked)?)?, None));
    }
    if !args.yes {
        let passphrase = farthing_keystore::ask_new_passphrase().map_err(locked)?;
        return Ok((create(&passphrase)?, Some(passphrase)));
    }
    let passphrase = random_passphrase()?;
    let info = create(&passphrase)?;
    if let Err(error) = keep_in_keyring(info.evm, &passphrase) {
        // Nobody knows the passphrase: the file would be of no use.
        std::fs::remove_file(&info.path).map_err(|error| Failure::new(Code::Unexpected, error))?;
        return Err(locked(error));
    }
    Ok((info, None))
}

fn random_passphrase() -> Result<Passphrase, Failure> {
    let mut random = Zeroizing::new([0; 32]);
    OsEntropy.fill(&mut *random).map_err(|error| Failure::new(Code::Unexpected, error))?;
    Ok(Passphrase::new(random.iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// What stands on stdin, or what somebody types where it is not seen.
fn secret() -> Result<Zeroizing<String>, Failure> {
    if std::io::stdin().is_terminal() {
        return farthing_keystore::ask_secret("Phrase or key (not shown): ").map_err(locked);
    }
    let mut text = Zeroizing::new(String::with_capacity(1024));
    std::io::stdin()
        .take(1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Code::Configuration, format!("stdin: {error}")))?;
    Ok(text)
}

/// Writes a file for its owner, unless there is one.
fn write_new(path: &Path, content: &str) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = match options.open(path) {
        Ok(mut file) => file.write_all(content.as_bytes()).and_then(|()| file.sync_all()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    written.map_err(|error| Failure::new(Code::Unexpected, format!("{}: {error}", path.display())))
}

fn say(home: &Home, info: &KeyInfo, phrase: Option<&Phrase>, args: &InitArgs, output: Output) {
    let address = info.evm.to_checksum(None);
    let shown = phrase.filter(|_| args.print_phrase || !args.yes).map(Phrase::words);
    if output.json {
        output.json(&json!({
            "home": home.folder().to_string_lossy(), "address": address,
            "phrase": shown.as_ref().map(|words| words.as_str()),
        }));
        return;
    }
    if output.quiet {
        output.line(address);
    } else {
        output.line(format!("{GOOD}made{GOOD:#} a wallet in {}", home.folder().display()));
        output.line(format!("{DIM}address{DIM:#}  {STRONG}{address}{STRONG:#}"));
        for rule in rules() {
            output.line(format!("{DIM}cap{DIM:#}      {rule}"));
        }
    }
    if let Some(words) = shown {
        output.note(format!(
            "{WARN}Write these words down.{WARN:#} They are the wallet; they are not shown again."
        ));
        output.line(format!("{DIM}phrase{DIM:#}   {}", words.as_str()));
    }
}

/// What a person types is of no use to an agent, unless the keyring knows it. The wallet is made by now: nothing fails
/// any more.
fn offer_keyring(config: &Config, info: &KeyInfo, passphrase: &Passphrase, output: Output) {
    let is_asked = matches!(config.unlock, None | Some(Unlock::Keyring));
    if !is_asked || output.json || !person::is_there() || is_in_keyring(info.evm).is_err() {
        return;
    }
    let question = "Keep the passphrase in this machine's keyring, so that your agents can pay?";
    if !person::yes(question).unwrap_or_default() {
        return;
    }
    if let Err(error) = keep_in_keyring(info.evm, passphrase) {
        output.warn(causes(&error));
    }
}

fn say_next(home: &Home, config: &Config, output: Output) {
    if output.json || output.quiet {
        return;
    }
    let keystore = Keystore::open(home.folder()).ok();
    let obstacle =
        keystore.and_then(|keystore| Opener::of(config.unlock.as_ref(), &keystore).obstacle_for_clients());
    if let Some(obstacle) = obstacle {
        output.note(format!("{WARN}but{WARN:#}      {obstacle}"));
        output.note(format!("         {DIM}{}{DIM:#}", obstacle.hint));
    }
    output.note(format!("{DIM}next{DIM:#}     farthing fund"));
}

/// The starter policy in words.
fn rules() -> Vec<String> {
    Policy::parse(Policy::starter()).map(|policy| policy.explain()).unwrap_or_default()
}

fn broken(error: KeystoreError) -> Failure {
    let code = match error {
        KeystoreError::Permissions { .. } | KeystoreError::Exists(_) => Code::Configuration,
        KeystoreError::EmptyPassphrase => Code::Locked,
        _ => Code::Unexpected,
    };
    Failure::new(code, causes(&error))
}

fn locked(error: UnlockError) -> Failure {
    Failure::new(Code::Locked, causes(&error))
        .hint("set FARTHING_PASSPHRASE, or run `farthing init` on a terminal and be asked")
}
