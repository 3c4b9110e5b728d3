//! Commands with their answers in arguments: what a script or an agent's developer runs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::scratch::{CODEX, CURSOR, FARTHING, GOOSE, Scratch};

#[test]
fn every_client_is_written_and_given_back() {
    let scratch = Scratch::new();
    let before = scratch.files();
    let names = [
        "claude-code",
        "claude",
        "cursor",
        "codex",
        "windsurf",
        "gemini-cli",
        "opencode",
        "cline",
        "zed",
        "goose",
        "warp",
    ];
    let clients: Vec<&str> = names.iter().flat_map(|name| ["--client", name]).collect();
    let done = scratch.json(&[&["install", "--yes"], clients.as_slice()].concat(), 0);
    let changes = done["changes"].as_array().unwrap();
    assert_eq!(changes.len(), names.len());
    for change in changes {
        assert_eq!(change["status"], "written", "{change}");
        let text = std::fs::read_to_string(change["file"].as_str().unwrap()).unwrap();
        assert!(text.contains(FARTHING) && text.contains("\"mcp\""), "{text}");
    }
    let again = scratch.json(&[&["install", "--yes"], clients.as_slice()].concat(), 0);
    assert!(
        again["changes"].as_array().unwrap().iter().all(|change| change["status"] == "unchanged"),
        "{again}"
    );

    scratch.json(&["uninstall", "--all", "--yes"], 0);
    assert_eq!(
        scratch.json(&["uninstall", "--all", "--yes"], 0)["changes"],
        json!([]),
        "nothing is left to do"
    );
    let mut after = scratch.files();
    after.retain(|(path, _)| !path.to_str().unwrap().contains(".farthing-backup."));
    assert_eq!(after, before, "byte for byte, and no file that was not there");
}

#[test]
fn all_means_those_that_are_found() {
    let scratch = Scratch::new();
    let done = scratch.json(&["install", "--all", "--yes"], 0);
    let clients: Vec<&Value> =
        done["changes"].as_array().unwrap().iter().map(|change| &change["client"]).collect();
    assert_eq!(clients, ["cursor", "codex", "goose"]);
    assert!(!scratch.path(".claude.json").exists());
}

#[test]
fn nothing_is_written_without_a_word() {
    let scratch = Scratch::new();
    let before = scratch.files();
    let done = scratch.run(&["install", "--client", "cursor"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.stdout.contains("+    \"farthing\": {"), "the change is shown all the same: {done:?}");
    assert!(done.stderr.contains("--yes"), "{done:?}");
    assert!(!done.stdout.contains('\u{1b}'), "no colours in a pipe");
    let unnamed = scratch.json(&["install"], 2);
    assert!(unnamed["error"]["hint"].as_str().unwrap().contains("cursor, codex, goose"), "{unnamed}");
    scratch.json(&["install", "--yes"], 2);
    let shown = scratch.json(&["install", "--client", "codex", "--dry-run"], 0);
    assert_eq!(shown["changes"][0]["status"], "shown");
    assert!(shown["changes"][0]["diff"].as_str().unwrap().contains("+[mcp_servers.farthing]"), "{shown}");
    assert_eq!(scratch.files(), before);
}

#[test]
fn keys_of_others_are_not_shown() {
    let scratch = Scratch::new();
    for args in [
        &["install", "--client", "cursor", "--dry-run"][..],
        &["install", "--client", "cursor", "--yes", "--json"],
    ] {
        let done = scratch.run(args);
        assert_eq!(done.code, 0, "{done:?}");
        assert!(!done.stdout.contains("sk-secret") && !done.stderr.contains("sk-secret"), "{done:?}");
    }
    assert!(scratch.read(".cursor/mcp.json").contains("sk-secret"));
}

#[test]
fn an_environment_is_not_shown_when_it_goes() {
    let scratch = Scratch::new();
    scratch.json(&["install", "--client", "cursor", "--yes"], 0);
    let text = scratch.read(".cursor/mcp.json");
    let mine = "\"env\": {\"FARTHING_PASSPHRASE\": \"correct horse\"}, \"command\":";
    scratch.write(".cursor/mcp.json", &text.replace("\"command\":", mine));
    for args in
        [&["uninstall", "--client", "cursor", "--dry-run"][..], &["uninstall", "--all", "--yes", "--json"]]
    {
        let done = scratch.run(args);
        assert!(done.code == 0 && done.stdout.contains("FARTHING_PASSPHRASE"), "{done:?}");
        assert!(!done.stdout.contains("correct horse") && !done.stderr.contains("correct horse"), "{done:?}");
    }
}

#[test]
fn what_cannot_be_read_or_is_not_ours_is_passed_over_unless_it_is_named() {
    let scratch = Scratch::new();
    scratch.json(&["install", "--client", "codex", "--yes"], 0);
    scratch.write(".gemini/settings.json", "{\n  \"a\": \n}");
    let foreign = "{\"mcpServers\": {\"farthing\": {\"url\": \"https://x.example\"}}}";
    scratch.write(".cursor/mcp.json", foreign);
    let listed = scratch.json(&["install", "--list", "--client", "cursor"], 0);
    assert_eq!(listed["clients"][0]["status"], "foreign");
    let done = scratch.run(&["uninstall", "--all", "--yes"]);
    assert!(done.code == 0 && done.stdout.contains("Codex"), "{done:?}");
    assert!(done.stderr.contains("Gemini CLI is passed over: "), "{done:?}");
    assert!(done.stderr.contains("settings.json: line 3, column 1"), "{done:?}");
    assert_eq!(scratch.read(".codex/config.toml"), CODEX);
    for (client, why) in [("gemini-cli", "line 3, column 1"), ("cursor", "starts no program")] {
        let refused = scratch.json(&["uninstall", "--client", client, "--yes"], 2);
        assert!(refused["error"]["message"].as_str().unwrap().contains(why), "{refused}");
    }
    assert_eq!(scratch.read(".cursor/mcp.json"), foreign);
}

#[test]
fn agents_and_programs_have_names() {
    let scratch = Scratch::new();
    scratch.write(
        ".farthing/policy.yaml",
        "version: 1\npayments: {max: \"$1\"}\nagents: {coder: {payments: {max: \"$1\"}}}\n",
    );
    let install = ["install", "--client", "cursor", "--yes"];
    let before = scratch.files();
    for wrong in [["--agent", "nosuch"], ["--agent", ""], ["--command", ""]] {
        scratch.json(&[&install[..], &wrong].concat(), 2);
    }
    assert_eq!(scratch.files(), before);
    scratch.json(&[&install[..], &["--agent", "coder"]].concat(), 0);
}

#[test]
fn a_wallet_that_nobody_opens_for_the_client_is_told() {
    let scratch = Scratch::new();
    let install = ["install", "--client", "cursor", "--yes"];
    let said = |args: &[&str]| {
        let done = scratch.run(args);
        assert_eq!(done.code, 0, "{done:?}");
        done.stderr
    };
    assert!(said(&install).contains("there is no wallet in "));
    let mut init = scratch.command(&["init", "--yes"]);
    let made = init.env("FARTHING_PASSPHRASE", "correct horse").output().unwrap();
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(made.status.success() && told.contains("your agents cannot pay"), "{told}");
    let warned = said(&install);
    assert!(warned.contains("your agents cannot pay") && warned.contains("`unlock: {command: "), "{warned}");
    scratch.write(".farthing/config.yaml", "version: 1\nunlock: {fd: 3}\n");
    assert!(said(&install).contains("`unlock: {fd: 3}` in config.yaml needs somebody"));
    scratch.write(".farthing/config.yaml", "version: 1\nunlock: {command: [echo, correct horse]}\n");
    assert!(!said(&install).contains("cannot pay"));
}

#[test]
fn the_entry_names_folder_and_agent_and_no_secret() {
    let scratch = Scratch::new();
    let home = scratch.path("wallet");
    let mut command = scratch.command(&[
        "install",
        "--client",
        "claude",
        "--yes",
        "--agent",
        "coder",
        "--command",
        "farthing",
    ]);
    command.env("FARTHING_HOME", &home).env("FARTHING_PASSPHRASE", "correct horse");
    assert!(command.output().unwrap().status.success());
    let text = scratch.read(".config/Claude/claude_desktop_config.json");
    let entry: Value = serde_json::from_str(&text).unwrap();
    let args = json!(["mcp", "--home", home.to_str().unwrap(), "--agent", "coder"]);
    assert_eq!(entry["mcpServers"]["farthing"], json!({"command": "farthing", "args": args}));
    assert!(!scratch.files().iter().any(|(_, text)| text.contains("correct horse")));

    let listed = scratch.json(&["install", "--list", "--client", "claude"], 0);
    assert_eq!(
        listed["clients"][0]["status"], "different",
        "without --home and --agent it would say something else"
    );
}

#[test]
fn clients_are_listed_with_what_they_have() {
    let scratch = Scratch::new();
    scratch.json(&["install", "--client", "codex", "--yes"], 0);
    scratch.write(".gemini/settings.json", "{\n  \"a\": \n}");
    let listed = scratch.json(&["install", "--list"], 0);
    let clients = listed["clients"].as_array().unwrap();
    let of = |name: &str| clients.iter().find(|client| client["client"] == name).unwrap();
    assert_eq!(clients.len(), 11);
    assert_eq!((&of("codex")["found"], &of("codex")["status"]), (&json!(true), &json!("installed")));
    assert_eq!((&of("zed")["found"], &of("zed")["status"]), (&json!(false), &json!("absent")));
    assert_eq!(of("gemini-cli")["status"], "unreadable");
    assert!(
        of("gemini-cli")["error"].as_str().unwrap().contains("settings.json: line 3, column 1: "),
        "{listed}"
    );
    let table = scratch.run(&["install", "--list", "--scope", "project"]);
    assert!(table.stdout.contains("project/.mcp.json") && !table.stdout.contains("windsurf"), "{table:?}");
}

#[test]
fn one_file_that_cannot_be_read_stops_no_other() {
    let scratch = Scratch::new();
    scratch.write(".codex/config.toml", "model = \n");
    let done = scratch.json(&["install", "--all", "--yes"], 2);
    let statuses: Vec<&Value> =
        done["changes"].as_array().unwrap().iter().map(|change| &change["status"]).collect();
    assert_eq!(statuses, ["written", "failed", "written"]);
    assert!(done["error"]["message"].as_str().unwrap().contains("config.toml: line 1, column 9: "), "{done}");
    assert_eq!(scratch.read(".codex/config.toml"), "model = \n");
    assert!(!scratch.path(".codex/config.toml.farthing-backup.1").exists());
    let said = scratch.run(&["install", "--client", "codex", "--yes"]);
    assert!(said.code == 2 && said.stderr.contains("config.toml: line 1"), "{said:?}");
}

#[test]
fn a_project_gets_an_entry_of_its_own() {
    let scratch = Scratch::new();
    for (client, file) in [
        ("claude-code", "project/.mcp.json"),
        ("cursor", "project/.cursor/mcp.json"),
        ("codex", "project/.codex/config.toml"),
        ("gemini-cli", "project/.gemini/settings.json"),
        ("opencode", "project/opencode.json"),
        ("zed", "project/.zed/settings.json"),
        ("warp", "project/.warp/.mcp.json"),
    ] {
        let done = scratch.json(&["install", "--client", client, "--scope", "project", "--yes"], 0);
        assert_eq!(done["changes"][0]["file"], scratch.path(file).to_str().unwrap());
        assert!(scratch.path(file).is_file());
    }
    let none = scratch.json(&["install", "--client", "goose", "--scope", "project", "--yes"], 2);
    assert!(
        none["error"]["message"].as_str().unwrap().contains("Goose knows no servers of one project"),
        "{none}"
    );
    assert_eq!(
        (scratch.read(".cursor/mcp.json"), scratch.read(".codex/config.toml")),
        (CURSOR.to_owned(), CODEX.to_owned())
    );
    assert_eq!(scratch.read(".config/goose/config.yaml"), GOOSE);
}

#[test]
fn the_search_path_names_the_program_when_it_has_it() {
    let scratch = Scratch::new();
    let bin = scratch.path("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(FARTHING, bin.join("farthing")).unwrap();
    let mut command = scratch.command(&["install", "--client", "codex", "--yes"]);
    assert!(command.env("PATH", &bin).output().unwrap().status.success());
    let line = format!("command = \"{}\"", bin.join("farthing").display());
    assert!(scratch.read(".codex/config.toml").contains(&line), "not where it points to");
}

#[test]
fn names_are_checked_and_two_entries_live_side_by_side() {
    let scratch = Scratch::new();
    scratch.json(&["install", "--client", "cursor", "--name", "Far thing", "--yes"], 2);
    scratch.json(&["install", "--client", "emacs", "--yes"], 2);
    scratch.json(&["install", "--client", "cursor", "--yes"], 0);
    scratch.json(&["install", "--client", "cursor", "--name", "farthing-two", "--yes"], 0);
    scratch.json(&["uninstall", "--client", "cursor", "--yes"], 0);
    let text = scratch.read(".cursor/mcp.json");
    assert!(text.contains("\"farthing-two\"") && !text.contains("\"farthing\""), "{text}");
    assert!(text.contains("// mine") && text.contains("\"docs\""), "{text}");
}

#[test]
fn what_is_written_starts_a_server() {
    let scratch = Scratch::new();
    let wallet = scratch.path("wallet");
    let in_wallet = |args: &[&str]| {
        let mut command = scratch.command(args);
        command.env("FARTHING_HOME", &wallet).env("FARTHING_PASSPHRASE", "correct horse");
        assert!(command.output().unwrap().status.success(), "{args:?}");
    };
    in_wallet(&["init", "--yes"]);
    in_wallet(&["install", "--client", "claude", "--yes"]);
    let file = scratch.read(".config/Claude/claude_desktop_config.json");
    let entry = serde_json::from_str::<Value>(&file).unwrap()["mcpServers"]["farthing"].clone();
    let args: Vec<&str> = entry["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();

    // As a desktop starts it: nothing of the shell's environment.
    let mut server = std::process::Command::new(entry["command"].as_str().unwrap());
    server.args(args).env_clear().env("HOME", scratch.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = server.spawn().unwrap();
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}
    }});
    let mut stdin = server.stdin.take().unwrap();
    writeln!(stdin, "{hello}").unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(answer["result"]["serverInfo"]["name"], "farthing", "{answer}");
    drop(stdin);
    server.wait().unwrap();
}
