//! What is written: the form that each client gives an entry.

use crate::client::Client;
use crate::edit::{self, Data, EditError, Field, Format, Target};

/// How long a client waits for a tool, where it can be told: a paid call may have to wait for its settlement.
const TOOL_TIMEOUT_SECONDS: u32 = 300;

/// The server, as a client is told to start it. It holds no secret: what unlocks the wallet stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The entry's name among the client's servers.
    pub name: String,
    /// The program: a path, or a name that the client finds.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
}

impl Client {
    /// How this client's file is written.
    #[must_use]
    pub fn format(self) -> Format {
        match self {
            Self::Codex => Format::Toml,
            Self::Goose => Format::Yaml,
            _ => Format::Json,
        }
    }

    /// The text of this client's file, with the server in it; the same text, when it is there already. Keys of the
    /// entry that Farthing does not need, the user's timeout or a switch, stay as they are.
    ///
    /// # Errors
    /// [`EditError`], when the text cannot be read, or cannot be changed without a risk for the rest of it.
    pub fn with(self, text: Option<&str>, server: &Server) -> Result<String, EditError> {
        let text = text.unwrap_or_default();
        edit::put(text, &self.target(self.path(text)?, &server.name), &self.fields(server))
    }

    /// The text of this client's file without the server; the same text, when it is not in it, and `None` when the
    /// file is nothing but what [`with`](Self::with) makes of none.
    ///
    /// `earlier` are texts that the file had before. One that the entry alone sets apart from today's is given back
    /// as it was. Without it, what remains says the same, but a map that held this entry only, and no comment, is gone.
    ///
    /// # Errors
    /// [`EditError`], as for [`with`](Self::with): an entry that is somebody else's is left to them.
    pub fn without(self, text: &str, name: &str, earlier: &[String]) -> Result<Option<String>, EditError> {
        let target = self.target(self.path(text)?, name);
        let Some(fields) = edit::entry(text, &target)? else {
            return edit::take(text, &target).map(Some);
        };
        let led_here = |before: &str| {
            edit::keys(target.format, before, target.path)
                .is_ok_and(|keys| !keys.is_some_and(|keys| keys.iter().any(|key| key == name)))
                && edit::put(before, &target, &fields).is_ok_and(|after| after == text)
        };
        if let Some(before) = earlier.iter().find(|before| led_here(before)) {
            return Ok(Some(before.clone()));
        }
        if led_here("") {
            return Ok(None);
        }
        edit::take(text, &target).map(Some)
    }

    /// Whether something of this name is in this text.
    ///
    /// # Errors
    /// [`EditError::Foreign`] when it is somebody else's, and others when the text cannot be read.
    pub fn has(self, text: &str, name: &str) -> Result<bool, EditError> {
        Ok(edit::entry(text, &self.target(self.path(text)?, name))?.is_some())
    }

    /// The text as it may be shown: keys, and of the values those that Farthing writes into the entry. In the place of
    /// anything else, other servers' values, the entry's environment, comments, stands a `…`: it may be somebody's key.
    /// Lines stay lines.
    #[must_use]
    pub fn veiled(self, text: &str, name: &str) -> String {
        let server = Server { name: name.to_owned(), command: String::new(), args: Vec::new() };
        let fields = self.fields(&server);
        let keys: Vec<&str> = fields.iter().map(|field| field.key.as_str()).collect();
        edit::veiled(text, &self.target(self.path(text).unwrap_or_default(), name), &keys)
    }

    fn target<'a>(self, path: &'static [&'static str], name: &'a str) -> Target<'a> {
        let program = if self == Self::Goose { "cmd" } else { "command" };
        Target { format: self.format(), path, name, program }
    }

    /// Where the entries of servers stand.
    fn path(self, text: &str) -> Result<&'static [&'static str], EditError> {
        Ok(match self {
            Self::Codex => &["mcp_servers"],
            Self::Goose => &["extensions"],
            Self::Zed => &["context_servers"],
            Self::OpenCode if is_second_opencode(text)? => &["mcp", "servers"],
            Self::OpenCode => &["mcp"],
            _ => &["mcpServers"],
        })
    }

    fn fields(self, server: &Server) -> Vec<Field> {
        let (command, args) = (Data::Text(server.command.clone()), Data::Texts(server.args.clone()));
        let text = |text: &str| Data::Text(text.to_owned());
        let timeout = |key| begins(key, Data::Number(TOOL_TIMEOUT_SECONDS));
        let both = |command_key| [always(command_key, command.clone()), always("args", args.clone())];
        match self {
            Self::ClaudeCode | Self::Cursor => {
                [vec![always("type", text("stdio"))], both("command").to_vec()].concat()
            }
            Self::Codex => [both("command").to_vec(), vec![timeout("tool_timeout_sec")]].concat(),
            Self::Cline => {
                let rest = vec![begins("disabled", Data::Flag(false)), timeout("timeout")];
                [both("command").to_vec(), rest].concat()
            }
            Self::Zed => {
                let rest = vec![begins("env", Data::Map(Vec::new())), timeout("timeout")];
                // Zed of 2025 wants the source; later ones pay no attention to it.
                [vec![begins("source", text("custom"))], both("command").to_vec(), rest].concat()
            }
            Self::OpenCode => {
                let words = [std::slice::from_ref(&server.command), &server.args].concat();
                vec![always("type", text("local")), always("command", Data::Texts(words))]
            }
            Self::Goose => {
                let first = vec![
                    begins("enabled", Data::Flag(true)),
                    always("type", text("stdio")),
                    always("name", text(&server.name)),
                    begins("description", text("Pays for API calls, one at a time, within your limits")),
                ];
                let rest = vec![begins("envs", Data::Map(Vec::new())), timeout("timeout")];
                [first, both("cmd").to_vec(), rest].concat()
            }
            Self::Claude | Self::Windsurf | Self::GeminiCli | Self::Warp => both("command").to_vec(),
        }
    }
}

/// Whether this is a configuration in the form of OpenCode 2, whose servers stand in `mcp.servers`. OpenCode 1 refuses
/// that form, and OpenCode 2 reads both; so a file is of the first form until it shows the second.
fn is_second_opencode(text: &str) -> Result<bool, EditError> {
    let keys = edit::keys(Format::Json, text, &["mcp", "servers"])?;
    // In the first form it would be a server of that name.
    Ok(keys.is_some_and(|keys| !keys.iter().any(|key| key == "type")))
}

fn always(key: &str, data: Data) -> Field {
    Field { key: key.to_owned(), data, kept: true }
}

fn begins(key: &str, data: Data) -> Field {
    Field { key: key.to_owned(), data, kept: false }
}
