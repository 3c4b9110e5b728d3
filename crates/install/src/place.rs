//! Where each client keeps its configuration.
//!
//! Read in the clients' documentation and sources, and compared with what `agentcash install` writes (docs/install.md
//! lists the differences).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::client::{Client, Scope};

/// The operating systems that the clients tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux and other systems with XDG folders.
    Linux,
    /// macOS.
    MacOs,
}

impl Os {
    /// The one that this program runs on.
    #[must_use]
    pub fn this() -> Self {
        if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux }
    }
}

/// What a client's place depends on.
pub struct Surroundings<'a> {
    /// The operating system.
    pub os: Os,
    /// The user's home folder.
    pub home: PathBuf,
    /// The project's folder, for entries of one project.
    pub project: PathBuf,
    /// The environment's variables.
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { os, home, project, .. } = self;
        f.debug_struct("Surroundings").field("os", os).field("home", home).field("project", project).finish()
    }
}

impl Surroundings<'_> {
    /// The file that `client` reads, and `None` where it knows no such scope.
    #[must_use]
    pub fn file(&self, client: Client, scope: Scope) -> Option<PathBuf> {
        match scope {
            Scope::User => Some(self.user_file(client)),
            Scope::Project => self.project_file(client),
        }
    }

    /// Whether the client seems to be installed: whether it has made its folder.
    #[must_use]
    pub fn is_installed(&self, client: Client) -> bool {
        let marks = match client {
            Client::ClaudeCode => vec![self.user_file(client), self.home.join(".claude")],
            Client::Cline => vec![self.cline_data(), self.vscode_cline()],
            Client::Warp => vec![
                self.home.join(".warp"),
                self.config().join("warp-terminal"),
                self.local_data().join("warp"),
            ],
            _ => self.user_file(client).parent().map(Path::to_path_buf).into_iter().collect(),
        };
        marks.iter().any(|mark| mark.exists())
    }

    fn user_file(&self, client: Client) -> PathBuf {
        let home = |path: &str| self.home.join(path);
        match client {
            Client::ClaudeCode => {
                self.path("CLAUDE_CONFIG_DIR").unwrap_or_else(|| home("")).join(".claude.json")
            }
            Client::Claude => self.desktop().join("Claude/claude_desktop_config.json"),
            Client::Cursor => home(".cursor/mcp.json"),
            Client::Codex => self.path("CODEX_HOME").unwrap_or_else(|| home(".codex")).join("config.toml"),
            Client::Windsurf => home(".codeium/windsurf/mcp_config.json"),
            Client::GeminiCli => {
                self.path("GEMINI_CLI_HOME").unwrap_or_else(|| home("")).join(".gemini/settings.json")
            }
            Client::OpenCode => existing_of(&self.xdg_config().join("opencode"), OPENCODE),
            Client::Cline => self.cline(),
            Client::Zed => self.zed().join("settings.json"),
            Client::Goose => self.goose().join("config.yaml"),
            Client::Warp => home(".warp/.mcp.json"),
        }
    }

    fn project_file(&self, client: Client) -> Option<PathBuf> {
        let project = |path: &str| Some(self.project.join(path));
        match client {
            Client::ClaudeCode => project(".mcp.json"),
            Client::Cursor => project(".cursor/mcp.json"),
            Client::Codex => project(".codex/config.toml"),
            Client::GeminiCli => project(".gemini/settings.json"),
            Client::OpenCode => Some(existing_of(&self.project, OPENCODE)),
            Client::Zed => project(".zed/settings.json"),
            Client::Warp => project(".warp/.mcp.json"),
            Client::Claude | Client::Windsurf | Client::Cline | Client::Goose => None,
        }
    }

    /// Extension and command line share a file; the extension moves there what an older one left in VS Code's storage,
    /// which is written only where the shared folder is missing.
    fn cline(&self) -> PathBuf {
        const FILE: &str = "settings/cline_mcp_settings.json";
        if let Some(file) = self.path("CLINE_MCP_SETTINGS_PATH") {
            return file;
        }
        let (data, older) = (self.cline_data(), self.vscode_cline());
        if data.exists() || !older.exists() { data.join(FILE) } else { older.join(FILE) }
    }

    fn cline_data(&self) -> PathBuf {
        let folder = || self.path("CLINE_DIR").unwrap_or_else(|| self.home.join(".cline")).join("data");
        self.path("CLINE_DATA_DIR").unwrap_or_else(folder)
    }

    fn vscode_cline(&self) -> PathBuf {
        self.desktop().join("Code/User/globalStorage/saoudrizwan.claude-dev")
    }

    fn zed(&self) -> PathBuf {
        match self.os {
            Os::MacOs => self.home.join(".config/zed"),
            Os::Linux => self.path("FLATPAK_XDG_CONFIG_HOME").unwrap_or_else(|| self.config()).join("zed"),
        }
    }

    fn goose(&self) -> PathBuf {
        let usual = || self.xdg_config().join("goose");
        self.path("GOOSE_PATH_ROOT").map_or_else(usual, |root| root.join("config"))
    }

    /// Where desktop programs keep what they are told.
    fn desktop(&self) -> PathBuf {
        match self.os {
            Os::MacOs => self.home.join("Library/Application Support"),
            Os::Linux => self.xdg_config(),
        }
    }

    fn local_data(&self) -> PathBuf {
        self.path("XDG_DATA_HOME").unwrap_or_else(|| self.home.join(".local/share"))
    }

    fn config(&self) -> PathBuf {
        match self.os {
            Os::Linux => self.xdg_config(),
            Os::MacOs => self.home.join(".config"),
        }
    }

    /// `~/.config` unless the variable names another folder, on every system: what programs do that know XDG only.
    fn xdg_config(&self) -> PathBuf {
        self.path("XDG_CONFIG_HOME").unwrap_or_else(|| self.home.join(".config"))
    }

    /// A folder or file that a variable names. A relative one means something else in every folder, and is ignored.
    fn path(&self, variable: &str) -> Option<PathBuf> {
        (self.variable)(variable).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// OpenCode reads both, and the first wins.
const OPENCODE: [&str; 2] = ["opencode.jsonc", "opencode.json"];

/// The first of these files that is there, else the last.
fn existing_of(folder: &Path, names: [&str; 2]) -> PathBuf {
    let [first, last] = names.map(|name| folder.join(name));
    if first.exists() { first } else { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(os: Os, variables: &[(&str, &str)]) -> impl Fn(Client, Scope) -> Option<String> {
        let variables: Vec<(String, OsString)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
        move |client, scope| {
            let variable = |name: &str| {
                variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
            };
            let (home, project) = (PathBuf::from("/nowhere/me"), PathBuf::from("/nowhere/project"));
            let surroundings = Surroundings { os, home, project, variable: &variable };
            surroundings.file(client, scope).map(|path| path.to_str().unwrap().to_owned())
        }
    }

    #[test]
    fn each_client_has_its_file_on_each_system() {
        let table = [
            (Client::ClaudeCode, ".claude.json", ".claude.json"),
            (
                Client::Claude,
                ".config/Claude/claude_desktop_config.json",
                "Library/Application Support/Claude/claude_desktop_config.json",
            ),
            (Client::Cursor, ".cursor/mcp.json", ".cursor/mcp.json"),
            (Client::Codex, ".codex/config.toml", ".codex/config.toml"),
            (Client::Windsurf, ".codeium/windsurf/mcp_config.json", ".codeium/windsurf/mcp_config.json"),
            (Client::GeminiCli, ".gemini/settings.json", ".gemini/settings.json"),
            (Client::OpenCode, ".config/opencode/opencode.json", ".config/opencode/opencode.json"),
            (
                Client::Cline,
                ".cline/data/settings/cline_mcp_settings.json",
                ".cline/data/settings/cline_mcp_settings.json",
            ),
            (Client::Zed, ".config/zed/settings.json", ".config/zed/settings.json"),
            (Client::Goose, ".config/goose/config.yaml", ".config/goose/config.yaml"),
            (Client::Warp, ".warp/.mcp.json", ".warp/.mcp.json"),
        ];
        let (linux, mac) = (places(Os::Linux, &[]), places(Os::MacOs, &[]));
        for (client, on_linux, on_mac) in table {
            assert_eq!(linux(client, Scope::User), Some(format!("/nowhere/me/{on_linux}")));
            assert_eq!(mac(client, Scope::User), Some(format!("/nowhere/me/{on_mac}")));
        }
    }

    #[test]
    fn variables_lead_elsewhere_unless_they_are_relative() {
        let variables = [
            ("CLAUDE_CONFIG_DIR", "/c"),
            ("CODEX_HOME", "/x"),
            ("XDG_CONFIG_HOME", "relative"),
            ("GOOSE_PATH_ROOT", "/g"),
            ("CLINE_DATA_DIR", "/d"),
        ];
        let linux = places(Os::Linux, &variables);
        assert_eq!(linux(Client::ClaudeCode, Scope::User).unwrap(), "/c/.claude.json");
        assert_eq!(linux(Client::Codex, Scope::User).unwrap(), "/x/config.toml");
        assert_eq!(linux(Client::Zed, Scope::User).unwrap(), "/nowhere/me/.config/zed/settings.json");
        assert_eq!(linux(Client::Goose, Scope::User).unwrap(), "/g/config/config.yaml");
        assert_eq!(linux(Client::Cline, Scope::User).unwrap(), "/d/settings/cline_mcp_settings.json");
    }

    #[test]
    fn projects_have_files_where_clients_read_them() {
        let linux = places(Os::Linux, &[]);
        assert_eq!(linux(Client::ClaudeCode, Scope::Project).unwrap(), "/nowhere/project/.mcp.json");
        assert_eq!(linux(Client::OpenCode, Scope::Project).unwrap(), "/nowhere/project/opencode.json");
        assert_eq!(linux(Client::Goose, Scope::Project), None);
    }
}
