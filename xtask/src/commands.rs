//! The documentation's commands: every `farthing …` and `cargo xtask …` of a code block exists, with its `--options`.

use std::collections::BTreeMap;

use crate::invocation::{Failure, Invocation, text};
use crate::run::Outcome;
use crate::test::everything_built;
use crate::workspace::{root, say, target_dir};
use crate::{has_task, pages};

/// Asks the program about each command that the documentation shows.
///
/// # Errors
/// The commands and options that do not exist, each with file and line.
pub(crate) fn check() -> Result<Outcome, Failure> {
    // A program that doesn't compile would look like one without commands.
    everything_built().run()?;
    let mut helps = Helps::default();
    let (mut wrong, mut count) = (Vec::new(), 0_usize);
    for (page, content) in &pages::read(&root())? {
        for line in pages::lines(content).filter(|line| line.is_code) {
            let Some(command) = Command::read(line.text) else { continue };
            count += 1;
            if let Some(why) = helps.wrong(&command) {
                wrong.push(format!("  {}:{}: {why}", page.display(), line.number));
            }
        }
    }
    if wrong.is_empty() {
        say(&format!("{count} commands"));
        return Ok(Outcome::Passed);
    }
    Err(Failure::new(format!("the documentation shows commands that do not exist:\n{}", wrong.join("\n"))))
}

/// A command line of the documentation.
#[derive(Debug, PartialEq, Eq)]
enum Command {
    Farthing { words: Vec<String>, options: Vec<String> },
    Xtask(String),
}

impl Command {
    /// Reads `[$ ][NAME=value …] farthing|cargo xtask …`, up to a comment, a pipe or a redirection.
    fn read(line: &str) -> Option<Self> {
        let end = line.find(" #").unwrap_or(line.len());
        let mut words =
            line[..end].split_whitespace().skip_while(|w| *w == "$" || is_assignment(w)).peekable();
        match (words.next()?, words.next()) {
            ("farthing", first) => {
                let rest = first.into_iter().chain(words);
                Some(Self::farthing(rest.take_while(|w| !matches!(*w, "|" | ">" | "&" | "&&" | ";" | "--"))))
            }
            ("cargo", Some("xtask")) => {
                words.next().filter(|word| is_plain(word)).map(|task| Self::Xtask(task.to_owned()))
            }
            _ => None,
        }
    }

    fn farthing<'a>(rest: impl Iterator<Item = &'a str>) -> Self {
        let rest: Vec<&str> = rest.collect();
        let words = rest.iter().take_while(|w| is_plain(w)).map(|&w| w.to_owned()).collect();
        let options =
            rest.iter().filter(|w| w.starts_with("--")).map(|w| w.split('=').next().unwrap_or(w).to_owned());
        Self::Farthing { words, options: options.collect() }
    }
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn is_plain(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

/// What `farthing … --help` prints, by the words before; `None` where the program refuses them.
#[derive(Default)]
struct Helps(BTreeMap<Vec<String>, Option<String>>);

impl Helps {
    fn wrong(&mut self, command: &Command) -> Option<String> {
        match command {
            Command::Xtask(task) => (!has_task(task)).then(|| format!("cargo xtask {task}")),
            Command::Farthing { words, options } => {
                let Some(help) = self.of(words) else { return Some(format!("farthing {}", words.join(" "))) };
                let unknown = options.iter().find(|option| !help.contains(option.as_str()));
                unknown.map(|option| format!("farthing {} has no {option}", words.join(" ")))
            }
        }
    }

    fn of(&mut self, words: &[String]) -> Option<&str> {
        let ask = || {
            // Built above; `cargo run` would build it once more, without what the tests turn on.
            let run = Invocation::new(text(&target_dir().join("debug/farthing")), &[]).with(words);
            run.with(&["--help".to_owned()]).output().ok()
        };
        self.0.entry(words.to_vec()).or_insert_with(ask).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn farthing(words: &[&str], options: &[&str]) -> Option<Command> {
        let owned = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect();
        Some(Command::Farthing { words: owned(words), options: owned(options) })
    }

    #[test]
    fn commands_are_read_with_their_options() {
        assert_eq!(
            Command::read("farthing fetch --max-amount=1 https://a.b -o x --json > y   # --not this"),
            farthing(&["fetch"], &["--max-amount", "--json"])
        );
        assert_eq!(Command::read("$ KEY=0x1 farthing ledger verify"), farthing(&["ledger", "verify"], &[]));
        assert_eq!(Command::read("farthing gateway | tee --append log"), farthing(&["gateway"], &[]));
        assert_eq!(Command::read("cargo xtask demo --keep"), Some(Command::Xtask("demo".to_owned())));
    }

    #[test]
    fn other_lines_are_not_commands() {
        for line in ["", "farthingale", "cargo test", "cargo install --path crates/farthing", "cargo xtask"] {
            assert_eq!(Command::read(line), None, "{line}");
        }
    }

    #[test]
    fn unknown_tasks_and_options_are_told() {
        let words = vec!["fetch".to_owned()];
        let mut helps =
            Helps(BTreeMap::from([(words, Some("--json".to_owned())), (vec!["no".to_owned()], None)]));
        let mut wrong = |line: &str| helps.wrong(&Command::read(line).unwrap());
        assert_eq!(wrong("farthing fetch --json"), None);
        assert_eq!(wrong("farthing fetch --jason").unwrap(), "farthing fetch has no --jason");
        assert_eq!(wrong("farthing no").unwrap(), "farthing no");
        assert_eq!(wrong("cargo xtask tset").unwrap(), "cargo xtask tset");
        assert_eq!(wrong("cargo xtask test --quick"), None);
    }
}
