//! What is said of a purchase that has not come to a good end: the commands that go on with it, to be copied.

use std::path::Path;

use farthing_ledger::{Purchase, PurchaseId};
use farthing_wallet::CutOff;

use crate::cli::FetchArgs;
use crate::home::Home;

/// What of the command that was given has to be given again.
pub(crate) struct GoOn<'a> {
    home: &'a Home,
    args: &'a FetchArgs,
}

impl<'a> GoOn<'a> {
    pub(crate) fn new(home: &'a Home, args: &'a FetchArgs) -> Self {
        Self { home, args }
    }

    pub(crate) fn args(&self) -> &'a FetchArgs {
        self.args
    }

    /// What can be done about a purchase whose answer has not come.
    pub(crate) fn how(&self, id: &PurchaseId) -> String {
        format!("{}; {} asks the chain", self.resume(id), command("reconcile", self.home))
    }

    /// The same for a body of which not all came.
    pub(crate) fn how_to_get_the_rest(&self, id: &PurchaseId, cut_off: &CutOff) -> String {
        match cut_off {
            CutOff::TooLong { .. } => {
                format!("raise `max_body_bytes` in config.yaml, then {}", self.resume(id))
            }
            CutOff::Broke { .. } => self.resume(id),
        }
    }

    /// How the answer is printed again that is kept.
    pub(crate) fn receipt(&self, id: &PurchaseId) -> String {
        let receipt = format!("receipt {} --body", tail(&id.0));
        format!("what came is kept: {} prints it again", command(&receipt, self.home))
    }

    /// The same payment again. A body is repeated only as the name of its file; it may be long, and it and headers may
    /// hold secrets.
    fn resume(&self, id: &PurchaseId) -> String {
        let request = &self.args.request;
        let mut resume = format!("fetch --resume {id}");
        let mut as_before = Vec::new();
        match &request.data {
            Some(data) if data.starts_with('@') => resume = format!("{resume} -d {}", quoted(data)),
            Some(_) => as_before.push("-d"),
            None => {}
        }
        if let Some(file) = &self.args.output {
            resume = format!("{resume} -o {}", quoted(&file.to_string_lossy()));
        }
        if let Some(seconds) = request.timeout {
            resume = format!("{resume} --timeout {seconds}");
        }
        if !request.headers.is_empty() {
            as_before.push("-H");
        }
        let resume = command(&resume, self.home);
        match as_before.join(" and ").as_str() {
            "" => format!("{resume} asks for it with the same payment"),
            as_before => format!("{resume}, with the same {as_before}, asks for it with the same payment"),
        }
    }
}

/// How the answer can be had of a purchase that an earlier command made.
pub(crate) fn get_answer(purchase: &Purchase, home: &Home) -> String {
    let resume = command(&format!("fetch --resume {}", purchase.terms.id), home);
    let body = if purchase.terms.method == "GET" { "" } else { ", with -d and -H as they were," };
    format!("{resume}{body} gets the answer")
}

/// A command of ours for this wallet, in a sentence.
pub(crate) fn command(arguments: &str, home: &Home) -> String {
    format!("`{}`", plain_command(arguments, home))
}

/// The same by itself, as a shell takes it.
pub(crate) fn plain_command(arguments: &str, home: &Home) -> String {
    let named = home.named().map(|folder: &Path| format!(" --home {}", quoted(&folder.to_string_lossy())));
    format!("farthing {arguments}{}", named.unwrap_or_default())
}

/// A word as a shell reads it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Enough of an id to name it again.
pub(crate) fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    fn hint(arguments: &str) -> String {
        let cli = Cli::try_parse_from(arguments.split(' ')).unwrap();
        let Some(Command::Fetch(args)) = cli.command else { panic!("no fetch") };
        let home = Home::locate(cli.home.as_deref()).unwrap();
        GoOn::new(&home, &args).resume(&PurchaseId("01ID".into()))
    }

    #[test]
    fn the_command_can_be_copied() {
        for (given, command) in [
            ("farthing fetch https://a.b/ --home /w", "`farthing fetch --resume 01ID --home /w` asks"),
            (
                "farthing fetch https://a.b/ -d @in -o out --timeout 5 --home /w",
                "`farthing fetch --resume 01ID -d @in -o out --timeout 5 --home /w` asks",
            ),
            (
                "farthing fetch https://a.b/ -d secret --home /w -H A:secret",
                "`farthing fetch --resume 01ID --home /w`, with the same -d and -H, asks",
            ),
        ] {
            let hint = hint(given);
            assert!(hint.starts_with(command) && !hint.contains("secret"), "{given}: {hint}");
        }
    }

    #[test]
    fn words_are_quoted() {
        for (word, shown) in
            [("plain", "plain"), ("two words", "'two words'"), ("", "''"), ("it's", r"'it'\''s'")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
