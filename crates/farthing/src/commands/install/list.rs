//! `farthing install --list`.

use farthing_install::{Client, Status};
use serde_json::{Value, json};

use super::{Work, shown};
use crate::exit::Failure;
use crate::output::{BAD, DIM, GOOD, WARN, printable, table};

pub(super) fn run(work: &Work<'_>) -> Result<(), Failure> {
    let clients: Vec<Client> = match work.which.clients.as_slice() {
        [] => Client::ALL.to_vec(),
        named => named.to_vec(),
    };
    let rows: Vec<Row> = clients.into_iter().filter_map(|client| Row::of(work, client)).collect();
    if work.output.json {
        let clients: Vec<Value> = rows.iter().map(|row| row.to_json(work)).collect();
        work.output.json(&json!({"clients": clients}));
        return Ok(());
    }
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    work.output.line(table(&["CLIENT", "FOUND", "FILE", "FARTHING"], &cells));
    Ok(())
}

struct Row {
    client: Client,
    found: bool,
    file: std::path::PathBuf,
    status: Result<Status, String>,
}

impl Row {
    /// `None` where the client knows no such scope.
    fn of(work: &Work<'_>, client: Client) -> Option<Self> {
        let file = work.file(client)?;
        let status = Status::of(client, &file, &work.server).map_err(|error| error.to_string());
        Some(Self { client, found: work.surroundings().is_installed(client), file, status })
    }

    fn word(&self) -> &'static str {
        match self.status {
            Ok(Status::Absent) => "absent",
            Ok(Status::Current) => "installed",
            Ok(Status::Different) => "different",
            Ok(Status::Foreign) => "foreign",
            Err(_) => "unreadable",
        }
    }

    fn cells(&self) -> Vec<String> {
        let style = match self.status {
            Ok(Status::Absent) => DIM,
            Ok(Status::Current) => GOOD,
            Ok(Status::Different | Status::Foreign) => WARN,
            Err(_) => BAD,
        };
        let why = self.status.as_ref().err().map(|why| format!(": {}", printable(why))).unwrap_or_default();
        vec![
            self.client.name().to_owned(),
            if self.found { "yes" } else { "no" }.to_owned(),
            shown(&self.file),
            format!("{style}{}{style:#}{why}", self.word()),
        ]
    }

    fn to_json(&self, work: &Work<'_>) -> Value {
        json!({
            "client": self.client.name(), "title": self.client.title(), "found": self.found,
            "file": self.file.to_string_lossy(), "scope": work.scope.name(),
            "status": self.word(), "error": self.status.as_ref().err(),
        })
    }
}
