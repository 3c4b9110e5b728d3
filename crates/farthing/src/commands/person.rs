//! Somebody at a terminal: asked for a yes, or for the passphrase.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use farthing_ambient::causes;
use farthing_keystore::{Keys, Keystore, Passphrase, UnlockError, ask_passphrase};

use crate::exit::{Code, Failure};

/// The longest answer to a question that is read.
const LONGEST_ANSWER: u64 = 1024;

/// Whether somebody is there to be asked, and sees what is asked.
pub(super) fn is_there() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Decrypts keys with a passphrase that somebody types at the terminal, whatever the environment or the configuration would
/// give: for what no program may do.
pub(super) fn typed_unlock(keystore: &Keystore) -> Result<Keys, Failure> {
    keystore.unlock(&typed_passphrase()?).map_err(|error| Failure::new(Code::Locked, causes(&error)))
}

/// That passphrase.
pub(super) fn typed_passphrase() -> Result<Passphrase, Failure> {
    ask_passphrase().map_err(|error| {
        let what = match error {
            UnlockError::NoSource => {
                "the passphrase has to be typed for this, and nobody is at a terminal".to_owned()
            }
            error => causes(&error),
        };
        Failure::new(Code::Locked, what)
            .hint("FARTHING_PASSPHRASE and `unlock` in config.yaml do not count here")
    })
}

/// Asks, and takes nothing but a yes for one.
pub(super) fn yes(question: &str) -> Result<bool, Failure> {
    let answer = answer(&format!("{question} [y/N]"))?;
    Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks, and gives the line that is typed.
pub(super) fn answer(question: &str) -> Result<String, Failure> {
    say_in_line(format_args!("{question} "));
    let mut answer = String::new();
    let mut stdin = std::io::stdin().lock().take(LONGEST_ANSWER);
    stdin
        .read_line(&mut answer)
        .map_err(|error| Failure::new(Code::Configuration, format!("stdin: {error}")))?;
    Ok(answer.trim().to_owned())
}

fn say_in_line(text: std::fmt::Arguments<'_>) {
    let mut stderr = anstream::stderr();
    write!(stderr, "{text}").and_then(|()| stderr.flush()).ok();
}
