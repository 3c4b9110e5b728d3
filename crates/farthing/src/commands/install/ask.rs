//! Questions to the person at the terminal.

use std::path::Path;

use farthing_install::Client;

use super::{Work, shown};
use crate::commands::person;
use crate::exit::{Code, Failure};
use crate::output::{DIM, STRONG};

/// The clients that are named, or all that are `found`, or those that the person chooses among them. None, when none is
/// named and none found.
pub(super) fn clients(
    work: &Work<'_>,
    found_word: &str,
    found: impl Fn(Client, &Path) -> bool,
) -> Result<Vec<Client>, Failure> {
    if !work.which.clients.is_empty() {
        return Ok(distinct(&work.which.clients));
    }
    let is_found = |client: &Client| work.file(*client).is_some_and(|file| found(*client, &file));
    let all: Vec<Client> = Client::ALL.into_iter().filter(is_found).collect();
    if all.is_empty() || work.which.all {
        return Ok(all);
    }
    if work.which.yes || work.output.json || !person::is_there() {
        let names: Vec<&str> = all.iter().map(|client| client.name()).collect();
        return Err(Failure::new(Code::Configuration, "no client is named").hint(format!(
            "name one with --client, or take all with --all; {found_word}: {}",
            names.join(", ")
        )));
    }
    choose(work, &all)
}

fn choose(work: &Work<'_>, all: &[Client]) -> Result<Vec<Client>, Failure> {
    for (index, client) in all.iter().enumerate() {
        let file = work.file(*client).unwrap_or_default();
        work.output.line(format!(
            "{STRONG}{:>3}{STRONG:#}  {:<15} {DIM}{}{DIM:#}",
            index + 1,
            client.title(),
            shown(&file)
        ));
    }
    let answer = person::answer("Which? Numbers or names, or `all`; nothing to leave it:")?;
    chosen(&answer, all)
}

/// What the answer means.
fn chosen(answer: &str, all: &[Client]) -> Result<Vec<Client>, Failure> {
    let words: Vec<&str> = answer.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(Failure::new(Code::Configuration, "nothing was chosen, and nothing was changed"));
    }
    if words == ["all"] {
        return Ok(all.to_vec());
    }
    let client = |word: &&str| -> Result<Client, Failure> {
        let number = word.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match number {
            Some(index) => all.get(index).copied().ok_or_else(|| {
                let what = format!("{word} is not in the list, which ends at {}", all.len());
                Failure::new(Code::Configuration, what)
            }),
            None => word.parse().map_err(|error| Failure::new(Code::Configuration, error)),
        }
    };
    words.iter().map(client).collect::<Result<Vec<_>, _>>().map(|clients| distinct(&clients))
}

fn distinct(clients: &[Client]) -> Vec<Client> {
    Client::ALL.into_iter().filter(|client| clients.contains(client)).collect()
}

/// Whether the changes that were shown may be made.
pub(super) fn may_write(work: &Work<'_>, files: usize) -> Result<(), Failure> {
    if work.which.yes {
        return Ok(());
    }
    if work.output.json || !person::is_there() {
        return Err(Failure::new(Code::Configuration, "nothing was changed: nobody can be asked here")
            .hint("--yes makes the changes without a question, --dry-run only shows them"));
    }
    let what = if files == 1 { "this change".to_owned() } else { format!("these {files} changes") };
    if person::yes(&format!("Make {what}?"))? {
        return Ok(());
    }
    Err(Failure::new(Code::Configuration, "nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_name_clients_of_the_list() {
        let all = [Client::Cursor, Client::Zed];
        assert_eq!(chosen("all", &all).unwrap(), all);
        assert_eq!(chosen("2, cursor,2", &all).unwrap(), all);
        for wrong in ["", " ", "0", "3", "emacs", "all 1"] {
            assert!(chosen(wrong, &all).is_err(), "{wrong:?}");
        }
    }
}
