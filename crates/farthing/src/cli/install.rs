//! `farthing install` and `farthing uninstall`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use farthing_install::Client;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing install                               asks which of the clients found here, and shows each change
  farthing install --client cursor --dry-run     shows the change only
  farthing install --client codex --agent coder  calls count towards the budgets of `coder` in the policy
  farthing install --all --yes                   every client found here, without a question
  farthing install --client zed --scope project  for the project in this folder
  farthing install --list                        clients, files, and where Farthing is installed

docs/install.md says what is written where.")]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) which: WhichClientArgs,
    /// Who calls: one of the policy's agents.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) agent: Option<String>,
    /// The program that the client starts, by path or by name; this very program by default.
    #[arg(long, value_name = "PROGRAM", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) command: Option<String>,
    /// List the clients with their files, and change nothing.
    #[arg(long, conflicts_with_all = ["yes", "dry_run", "all"])]
    pub(crate) list: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing uninstall                    asks where, and shows each change
  farthing uninstall --client cursor    gives the file back as it was, if nothing else changed in it
  farthing uninstall --all --yes        everywhere where it is installed")]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    pub(crate) which: WhichClientArgs,
}

/// Which clients, and how far without a question.
#[derive(Debug, Args)]
pub(crate) struct WhichClientArgs {
    /// A client: claude-code, claude, cursor, codex, windsurf, gemini-cli, opencode, cline, zed, goose or warp. May be
    /// given again.
    #[arg(long = "client", value_name = "NAME", conflicts_with = "all")]
    pub(crate) clients: Vec<Client>,
    /// Every client that is found.
    #[arg(long)]
    pub(crate) all: bool,
    /// For whatever you do, or for the project in this folder only.
    #[arg(long, value_enum, default_value_t = Scope::User)]
    pub(crate) scope: Scope,
    /// The entry's name among the client's servers.
    #[arg(long, value_name = "NAME", default_value = "farthing", value_parser = entry_name)]
    pub(crate) name: String,
    /// Show what would change, and change nothing.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// Everything that this user does.
    User,
    /// The project in this folder.
    Project,
}

impl From<Scope> for farthing_install::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::User => Self::User,
            Scope::Project => Self::Project,
        }
    }
}

/// What every client takes for a name.
fn entry_name(name: &str) -> Result<String, String> {
    const MOST: usize = 64;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > MOST || !name.chars().all(fits) {
        return Err(format!(
            "up to {MOST} lower-case letters, digits, `-` and `_` are a name for every client"
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::entry_name;

    #[test]
    fn names_fit_every_client() {
        assert!(entry_name("farthing-2_b").is_ok());
        for name in ["", "Farthing", "far thing", "a.b", "\"", &"x".repeat(65)] {
            assert!(entry_name(name).is_err(), "{name}");
        }
    }
}
