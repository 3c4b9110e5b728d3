//! `farthing install` and `farthing uninstall`: shown first, asked for, then written.

mod ask;
mod diff;
mod list;
mod ready;
mod server;

use std::path::{Path, PathBuf};

use diff::Diff;
use farthing_ambient::OsEntropy;
use farthing_install::{Change, Client, InstallError, Os, Scope, Server, Status, Surroundings};
use serde_json::{Value, json};

use crate::cli::{InstallArgs, UninstallArgs, WhichClientArgs};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::{BAD, DIM, GOOD, Output, STRONG, WARN, printable};

pub(crate) fn install(home: &Home, args: &InstallArgs, output: Output) -> Result<(), Failure> {
    let server = server::server(home, args)?;
    let work = Work::new(&args.which, server, output)?;
    if args.list {
        return list::run(&work);
    }
    let found = |client: Client, _: &Path| work.surroundings().is_installed(client);
    let clients = ask::clients(&work, "installed here", found)?;
    if clients.is_empty() {
        return Err(Failure::new(
            Code::Configuration,
            "no client is installed here, as far as its folder tells",
        )
        .hint("--client names one all the same; `farthing install --list` shows them all"));
    }
    for client in clients.iter().filter(|client| !work.surroundings().is_installed(**client)) {
        output
            .note(format!("{WARN}note{WARN:#}: {} has no folder here yet; is it installed?", client.title()));
    }
    let next = |client: Client| client.next_step(work.scope).to_owned();
    work.run(&clients, |client, file| Change::installing(client, file, &work.server), next)?;
    ready::look(home, output);
    Ok(())
}

pub(crate) fn uninstall(args: &UninstallArgs, output: Output) -> Result<(), Failure> {
    // Only its name counts.
    let server = Server { name: args.which.name.clone(), command: String::new(), args: Vec::new() };
    let work = Work::new(&args.which, server, output)?;
    let found = |client: Client, file: &Path| match Status::of(client, file, &work.server) {
        Ok(status) => matches!(status, Status::Current | Status::Different),
        Err(error) => {
            output.warn(format_args!("{} is passed over: {}", client.title(), printable(&error.to_string())));
            false
        }
    };
    let clients = ask::clients(&work, "with this server", found)?;
    if clients.is_empty() {
        output.note(format!("nothing to do: no client has a server named {}", work.server.name));
    }
    let next =
        |client: Client| format!("a {} that runs keeps the server until it is restarted", client.title());
    work.run(&clients, |client, file| Change::uninstalling(client, file, &work.server.name), next)
}

/// What one run of the command is about.
pub(super) struct Work<'a> {
    which: &'a WhichClientArgs,
    scope: Scope,
    server: Server,
    user_home: PathBuf,
    project: PathBuf,
    output: Output,
}

/// One client's part in it.
struct Part {
    client: Client,
    file: PathBuf,
    change: Result<Change, InstallError>,
    /// What its user does when it is written.
    next: String,
}

/// What became of a part.
enum Done {
    Written(Option<PathBuf>),
    Unchanged,
    Shown,
    Failed(String),
}

impl<'a> Work<'a> {
    fn new(which: &'a WhichClientArgs, server: Server, output: Output) -> Result<Self, Failure> {
        let user_home = Home::user()?;
        let project = std::env::current_dir().map_err(|error| {
            Failure::new(Code::Configuration, format!("this folder cannot be told: {error}"))
        })?;
        Ok(Self { which, scope: which.scope.into(), server, user_home, project, output })
    }

    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings {
            os: Os::this(),
            home: self.user_home.clone(),
            project: self.project.clone(),
            variable: &|name| std::env::var_os(name),
        }
    }

    fn file(&self, client: Client) -> Option<PathBuf> {
        self.surroundings().file(client, self.scope)
    }

    fn run(
        &self,
        clients: &[Client],
        plan: impl Fn(Client, PathBuf) -> Result<Change, InstallError>,
        next: impl Fn(Client) -> String,
    ) -> Result<(), Failure> {
        let parts = clients.iter().map(|client| {
            let file = self.file(*client).ok_or_else(|| no_such_scope(*client))?;
            let change = plan(*client, file.clone());
            Ok(Part { client: *client, file, change, next: next(*client) })
        });
        let parts: Vec<Part> = parts.collect::<Result<_, Failure>>()?;
        parts.iter().for_each(|part| self.show(part));
        let needed = parts.iter().filter(|part| part.is_needed()).count();
        if needed > 0 && !self.which.dry_run {
            ask::may_write(self, needed)?;
        }
        let done: Vec<Done> = parts.iter().map(|part| self.make(part)).collect();
        self.tell(&parts, &done)
    }

    /// The change, before anything is written.
    fn show(&self, part: &Part) {
        let Ok(change) = &part.change else { return };
        if !part.is_needed() || self.output.json || (self.output.quiet && self.which.yes) {
            return;
        }
        self.output.line(format!("{STRONG}{}{STRONG:#}  {}", part.client.title(), shown(&part.file)));
        self.output.line(Diff::of(part.client, &self.server.name, change).colored());
    }

    fn make(&self, part: &Part) -> Done {
        let change = match &part.change {
            Ok(change) => change,
            Err(error) => return Done::Failed(error.to_string()),
        };
        if !change.is_needed() {
            return Done::Unchanged;
        }
        if self.which.dry_run {
            return Done::Shown;
        }
        match change.make(&OsEntropy) {
            Ok(backup) => Done::Written(backup),
            Err(error) => Done::Failed(error.to_string()),
        }
    }

    fn tell(&self, parts: &[Part], done: &[Done]) -> Result<(), Failure> {
        let failures: Vec<&String> = done
            .iter()
            .filter_map(|done| match done {
                Done::Failed(why) => Some(why),
                _ => None,
            })
            .collect();
        let ending = match failures.first() {
            None => Ok(()),
            Some(why) if failures.len() == 1 => Err(Failure::new(Code::Configuration, printable(why))),
            Some(_) => {
                let what = format!("{} files could not be changed, and are as they were", failures.len());
                Err(Failure::new(Code::Configuration, what))
            }
        };
        if self.output.json {
            let changes: Vec<Value> =
                parts.iter().zip(done).map(|(part, done)| self.to_json(part, done)).collect();
            return self.output.json_ending(json!({"changes": changes}), ending);
        }
        let alone = failures.len() == 1;
        parts.iter().zip(done).for_each(|(part, done)| self.say(part, done, alone));
        ending
    }

    fn say(&self, part: &Part, done: &Done, is_error: bool) {
        let title = part.client.title();
        match done {
            Done::Written(backup) => {
                self.output.line(format!("{GOOD}written{GOOD:#}  {title}: {}", shown(&part.file)));
                if let Some(backup) = backup {
                    self.output.note(format!("{DIM}         before: {}{DIM:#}", shown(backup)));
                }
                self.output.note(format!("{DIM}next{DIM:#}     {}", part.next));
            }
            Done::Unchanged => {
                self.output.note(format!("{DIM}nothing to do{DIM:#} for {title}: {}", shown(&part.file)));
            }
            Done::Shown => self.output.note(format!("{WARN}not written{WARN:#}: --dry-run")),
            // It is the command's error then.
            Done::Failed(_) if is_error => {}
            Done::Failed(why) => {
                self.output.line(format!("{BAD}failed{BAD:#}   {title}: {}", printable(why)))
            }
        }
    }

    fn to_json(&self, part: &Part, done: &Done) -> Value {
        let (status, backup, error) = match done {
            Done::Written(backup) => ("written", backup.as_deref(), None),
            Done::Unchanged => ("unchanged", None, None),
            Done::Shown => ("shown", None, None),
            Done::Failed(why) => ("failed", None, Some(why)),
        };
        let diff = |change: &Change| Diff::of(part.client, &self.server.name, change).plain();
        json!({
            "client": part.client.name(), "file": part.file.to_string_lossy(), "scope": self.scope.name(),
            "status": status, "error": error,
            "backup": backup.map(Path::to_string_lossy),
            "diff": part.change.as_ref().ok().filter(|change| change.is_needed()).map(diff),
            "next": part.next,
        })
    }
}

impl Part {
    fn is_needed(&self) -> bool {
        self.change.as_ref().is_ok_and(Change::is_needed)
    }
}

fn no_such_scope(client: Client) -> Failure {
    let what = format!("{} knows no servers of one project", client.title());
    Failure::new(Code::Configuration, what).hint("leave --scope out to install it for everything that you do")
}

/// A path, safe for a terminal.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
