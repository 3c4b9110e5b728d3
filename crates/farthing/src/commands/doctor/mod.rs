//! `farthing doctor`: what could keep the wallet from working, or from being safe, looked at one after the other.

mod chains;
mod files;
mod record;
mod rules;

use farthing_keystore::Keystore;
use serde_json::json;

use crate::cli::DoctorArgs;
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, WARN};
use crate::progress::shown;
use crate::session::Session;
use crate::unattended::Opener;

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Health {
    Ok,
    Warn,
    Fail,
}

impl Health {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Check {
    /// What was looked at: `keys`, `chain`.
    what: &'static str,
    health: Health,
    message: String,
    /// What to do about it.
    hint: Option<String>,
    /// What the program ends with when it failed.
    code: Code,
}

impl Check {
    pub(super) fn ok(what: &'static str, message: impl Into<String>) -> Self {
        Self { what, health: Health::Ok, message: message.into(), hint: None, code: Code::Unexpected }
    }

    pub(super) fn warn(what: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { health: Health::Warn, hint: Some(hint.into()), ..Self::ok(what, message) }
    }

    pub(super) fn fail(
        what: &'static str,
        code: Code,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { health: Health::Fail, code, ..Self::warn(what, message, hint) }
    }

    /// What a command would have failed with.
    pub(super) fn of(what: &'static str, failure: Failure) -> Self {
        let hint = failure.hint;
        Self { health: Health::Fail, code: failure.code, hint, ..Self::ok(what, failure.message) }
    }
}

pub(crate) async fn run(home: Home, args: &DoctorArgs, output: Output) -> Result<(), Failure> {
    let looking = || "looking at everything".to_owned();
    let checks = shown(output, looking, look(home, args)).await;
    let ending = ending(&checks);
    if output.json {
        let rows: Vec<_> = checks
            .iter()
            .map(|check| {
                json!({"check": check.what, "status": check.health.as_str(), "message": check.message, "hint": check.hint})
            })
            .collect();
        return output.json_ending(json!({"healthy": ending.is_ok(), "checks": rows}), ending);
    }
    checks
        .iter()
        .filter(|check| !output.quiet || check.health != Health::Ok)
        .for_each(|check| print(check, output));
    ending
}

fn print(check: &Check, output: Output) {
    let (style, mark) = match check.health {
        Health::Ok => (GOOD, "ok"),
        Health::Warn => (WARN, "warn"),
        Health::Fail => (BAD, "fail"),
    };
    output.line(format!("{style}{mark:<5}{style:#} {DIM}{:<8}{DIM:#} {}", check.what, check.message));
    if let Some(hint) = &check.hint {
        output.line(format!("               {DIM}{hint}{DIM:#}"));
    }
}

/// The first failure decides how it ends; a warning is none.
fn ending(checks: &[Check]) -> Result<(), Failure> {
    let failed: Vec<_> = checks.iter().filter(|check| check.health == Health::Fail).collect();
    match failed.as_slice() {
        [] => Ok(()),
        [one] => Err(Failure::new(one.code, format!("{}: {}", one.what, one.message))),
        [first, ..] => Err(Failure::new(first.code, format!("{} things are wrong", failed.len()))),
    }
}

async fn look(home: Home, args: &DoctorArgs) -> Vec<Check> {
    let mut checks = files::look(&home);
    let config = Config::load(&home.config());
    if let Err(failure) = config {
        checks.push(Check::of("config", failure));
        return checks;
    }
    checks.push(Check::ok("config", "config.yaml is understood"));
    let Ok(session) = Session::new(home) else { return checks };
    checks.extend(keys(&session, args));
    checks.extend(rules::look(&session));
    checks.extend(record::look(&session).await);
    checks.extend(chains::look(&session).await);
    checks
}

fn keys(session: &Session, args: &DoctorArgs) -> Vec<Check> {
    match session.keystore() {
        Ok(keystore) => vec![key_file(session, &keystore, args), opener(session, &keystore)],
        Err(failure) => vec![Check::of("keys", failure)],
    }
}

/// The key file; the passphrase is asked for only where that was wanted.
fn key_file(session: &Session, keystore: &Keystore, args: &DoctorArgs) -> Check {
    let address = keystore.info().evm.to_checksum(None);
    if !args.unlock {
        return Check::ok("keys", address);
    }
    match session.unlock(keystore) {
        Ok(_) => Check::ok("keys", format!("{address}, and the passphrase opens them")),
        Err(failure) => Check::of("keys", failure),
    }
}

/// What opens them for an agent, whose client hands on nothing of this shell's environment.
fn opener(session: &Session, keystore: &Keystore) -> Check {
    match Opener::of(session.config().unlock.as_ref(), keystore) {
        Opener::Keyring => Check::ok("unlock", "the keyring opens them for your agents"),
        Opener::Command => {
            Check::ok("unlock", "`unlock` in config.yaml names what opens them for your agents")
        }
        Opener::Descriptor(number) => {
            Check::ok("unlock", format!("whoever opens descriptor {number} for farthing opens them"))
        }
        Opener::Nothing(obstacle) => Check::warn("unlock", obstacle.to_string(), obstacle.hint),
    }
}
