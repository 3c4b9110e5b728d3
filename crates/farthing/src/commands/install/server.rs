//! What the clients are told to start.

use std::path::{Path, PathBuf};

use farthing_install::Server;

use crate::agents;
use crate::cli::InstallArgs;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::session::policy_at;

/// This program with `mcp`; the folder only where it is not the usual one, because a client that a desktop started knows
/// nothing of this shell's environment. Secrets are never a part of it.
pub(super) fn server(home: &Home, args: &InstallArgs) -> Result<Server, Failure> {
    let command = match &args.command {
        Some(command) => command.clone(),
        None => text(&this_program()?)?,
    };
    let mut words = vec!["mcp".to_owned()];
    if home.folder() != Home::user()?.join(".farthing") {
        let folder = std::path::absolute(home.folder())
            .map_err(|error| Failure::new(Code::Configuration, format!("--home cannot be told: {error}")))?;
        words.extend(["--home".to_owned(), text(&folder)?]);
    }
    if let Some(agent) = &args.agent {
        agents::check_known(&policy_at(&home.policy())?, agent)?;
        words.extend(["--agent".to_owned(), agent.clone()]);
    }
    Ok(Server { name: args.which.name.clone(), command, args: words })
}

/// This program by the name under which the search path has it: where a package manager keeps the versions may be gone
/// after the next update. Else where it is.
fn this_program() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Code::Unexpected, format!("this program's own path cannot be told: {error}"))
            .hint("--command names it")
    })?;
    let name = program.file_name().unwrap_or_default();
    let search = std::env::var_os("PATH").unwrap_or_default();
    let itself = |path: &PathBuf| {
        path.is_absolute()
            && path.canonicalize().is_ok_and(|found| Some(found) == program.canonicalize().ok())
    };
    let found = std::env::split_paths(&search).map(|folder| folder.join(name)).find(itself);
    Ok(found.unwrap_or(program))
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        let what = format!("{} is no UTF-8 text, and cannot stand in a configuration", path.display());
        Failure::new(Code::Configuration, what).hint("--command and --home name another path")
    })
}
