//! The clients: programs with an agent that speaks MCP.

use std::fmt;
use std::str::FromStr;

/// A program that can be told to start Farthing's MCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// Anthropic's Claude Desktop.
    Claude,
    /// Cursor.
    Cursor,
    /// OpenAI's Codex: command line, IDE extension and app read one file.
    Codex,
    /// Windsurf, with its Cascade agent.
    Windsurf,
    /// Google's Gemini CLI.
    GeminiCli,
    /// OpenCode.
    OpenCode,
    /// Cline: VS Code extension and command line.
    Cline,
    /// Zed.
    Zed,
    /// Goose, desktop and command line.
    Goose,
    /// Warp.
    Warp,
}

/// Whom an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything that this user does.
    User,
    /// One project, and whoever else works on it.
    Project,
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ClaudeCode,
        Self::Claude,
        Self::Cursor,
        Self::Codex,
        Self::Windsurf,
        Self::GeminiCli,
        Self::OpenCode,
        Self::Cline,
        Self::Zed,
        Self::Goose,
        Self::Warp,
    ];

    /// Its name in commands: `claude-code`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude-code",
            Self::Claude => "claude",
            Self::Cursor => "cursor",
            Self::Codex => "codex",
            Self::Windsurf => "windsurf",
            Self::GeminiCli => "gemini-cli",
            Self::OpenCode => "opencode",
            Self::Cline => "cline",
            Self::Zed => "zed",
            Self::Goose => "goose",
            Self::Warp => "warp",
        }
    }

    /// Its name in sentences: `Claude Code`.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Claude => "Claude Desktop",
            Self::Cursor => "Cursor",
            Self::Codex => "Codex",
            Self::Windsurf => "Windsurf",
            Self::GeminiCli => "Gemini CLI",
            Self::OpenCode => "OpenCode",
            Self::Cline => "Cline",
            Self::Zed => "Zed",
            Self::Goose => "Goose",
            Self::Warp => "Warp",
        }
    }

    /// How its user makes it read the change, and sees that it did.
    #[must_use]
    pub fn next_step(self, scope: Scope) -> &'static str {
        match (self, scope) {
            (Self::ClaudeCode, Scope::User) => {
                "start a new session; `claude mcp list` or `/mcp` shows the server"
            }
            (Self::ClaudeCode, Scope::Project) => {
                "start a new session in the project and approve the server; `/mcp` shows it"
            }
            (Self::Claude, _) => {
                "quit Claude Desktop and open it again; Settings > Developer shows the server"
            }
            (Self::Cursor, _) => "restart Cursor; its MCP settings show the server, and switch it on",
            (Self::Codex, Scope::User) => "start a new session; `codex mcp list` or `/mcp` shows the server",
            (Self::Codex, Scope::Project) => {
                "start a new session; Codex reads the file in trusted projects only; `/mcp` shows the server"
            }
            (Self::Windsurf, _) => {
                "restart Windsurf, or refresh the MCP servers of Cascade, which show the server"
            }
            (Self::GeminiCli, _) => {
                "start a new session in a trusted folder; `gemini mcp list` or `/mcp` shows the server"
            }
            (Self::OpenCode, _) => "start a new session; `opencode mcp list` shows the server",
            (Self::Cline, _) => {
                "open Cline's MCP servers, which show the server; restart VS Code if they do not"
            }
            (Self::Zed, Scope::User) => "Zed reads it at once; Settings > AI > MCP Servers shows the server",
            (Self::Zed, Scope::Project) => {
                "trust the project in Zed; Settings > AI > MCP Servers shows the server"
            }
            (Self::Goose, _) => "start a new session; its extensions show the server",
            (Self::Warp, Scope::User) => {
                "Warp starts it at once; Settings > Agents > MCP servers shows the server. A Warp that reads no files yet takes the text of the file there, under + Add"
            }
            (Self::Warp, Scope::Project) => {
                "Settings > Agents > MCP servers shows the server: approve it there"
            }
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No client has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no client is named `{name}`; known are {}", Client::ALL.map(Client::name).join(", "))]
pub struct UnknownClient {
    name: String,
}

impl FromStr for Client {
    type Err = UnknownClient;

    fn from_str(name: &str) -> Result<Self, UnknownClient> {
        Self::ALL
            .into_iter()
            .find(|client| client.name() == name)
            .ok_or_else(|| UnknownClient { name: name.escape_debug().to_string() })
    }
}

impl Scope {
    /// `user` or `project`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Project => "project",
        }
    }
}
