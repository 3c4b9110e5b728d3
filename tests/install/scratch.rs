//! A home folder of nobody, with clients in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const FARTHING: &str = env!("CARGO_BIN_EXE_farthing");

pub(crate) const CURSOR: &str = "{\n  // mine\n  \"mcpServers\": {\n    \"docs\": { \"url\": \"https://x.example\", \"headers\": { \"X-Key\": \"sk-secret\" } }\n  }\n}\n";
pub(crate) const CODEX: &str = "model = \"o5\" # the large one\n";
pub(crate) const GOOSE: &str = "GOOSE_MODE: auto\nextensions:\n  # files\n  developer: {enabled: true, type: builtin, name: developer}\n";

pub(crate) struct Scratch(TempDir);

/// What a command left.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Scratch {
    /// With Cursor, Codex and Goose.
    pub(crate) fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        scratch.write(".cursor/mcp.json", CURSOR);
        scratch.write(".codex/config.toml", CODEX);
        scratch.write(".config/goose/config.yaml", GOOSE);
        fs::create_dir(scratch.path("project")).unwrap();
        scratch
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Every file below the home, with its text.
    pub(crate) fn files(&self) -> Vec<(PathBuf, String)> {
        let mut files = Vec::new();
        collect(self.0.path(), &mut files);
        files.sort();
        files
    }

    /// A command in this home, in its project, with nothing of this machine's environment, its keyring included.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FARTHING);
        command.args(args).env_clear().env("HOME", self.0.path()).current_dir(self.path("project"));
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Done {
        let done = self.command(args).output().unwrap();
        Done {
            code: done.status.code().unwrap(),
            stdout: String::from_utf8(done.stdout).unwrap(),
            stderr: String::from_utf8(done.stderr).unwrap(),
        }
    }

    /// A command that must end with this code; its JSON.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let done = self.run(&[args, &["--json"]].concat());
        assert_eq!(done.code, code, "{args:?}: {done:?}");
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"))
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push((path.clone(), fs::read_to_string(path).unwrap())),
        }
    }
}
