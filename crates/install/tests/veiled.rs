//! What is shown of a configuration: nobody's key but the names of things.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use farthing_install::Client;
use proptest::prelude::*;

#[test]
fn values_and_comments_are_hidden_and_keys_are_not() {
    for (client, text, shown) in [
        (Client::Cursor, "{\n  \"a\": [\"-y\", \"sk-1\"], // sk-2\n}\n", "{\n  \"a\": […, …], …\n}\n"),
        // Lines that begin as a key would.
        (
            Client::Cursor,
            "{\"args\": [\n  \"c2VjcmV0LXRva2VuLTEyMw==\",\n  \"token:sk-1\"\n]}",
            "{\"args\": [\n  …,\n  …\n]}",
        ),
        (Client::Cursor, "{\"a\": {\"b\": \"sk-1\"}, \"c\": null}", "{\"a\": {\"b\": …}, \"c\": …}"),
        (Client::Cursor, "/* : sk-1\n  [sk-2] */ {}", "…\n  […"),
        (Client::Goose, "- [sk-secret-1]\n- sk-2\n", "- […]\n- …\n"),
        (Client::Goose, "[sk-secret-1]\n", "[…]\n"),
        (Client::Goose, "a: |\n  key: sk-1\n  [sk-2]\nb: x # sk-3\n", "a: …\n  …\n  …\nb: … …\n"),
        (Client::Codex, "# sk-1 = x\nkey = \"sk-2\" # sk-3\n", "…\nkey = … …\n"),
        (Client::Codex, "[mcp_servers.docs]\nurl = 'x'\n", "[mcp_servers.docs]\nurl = …\n"),
        (Client::Codex, "a = \"\"\"\n[sk-1]\nc2VjcmV0 = x\n\"\"\"\n", "a = …\n…\n…\n…\n"),
        (Client::Codex, "[[a]]\nb = \"\"\"\n[sk-1]\n\"\"\"\n", "[[a]]\nb = …\n…\n…\n"),
    ] {
        assert_eq!(client.veiled(text, "farthing"), shown, "{client}");
    }
}

#[test]
fn of_the_entry_what_farthing_writes_is_shown() {
    let entry = r#"{"command": "/bin/farthing", "args": ["mcp", "--agent"], "env": {"FARTHING_PASSPHRASE": "sk-1"}, "x": "sk-2"}"#;
    let shown = r#"{"command": "/bin/farthing", "args": ["mcp", "--agent"], "env": {"FARTHING_PASSPHRASE": …}, "x": …}"#;
    let within =
        |entry: &str, other: &str| format!("{{\"mcpServers\": {{\"farthing\": {entry}, \"b\": {other}}}}}");
    assert_eq!(
        Client::Cursor.veiled(&within(entry, r#"{"command": "sk-3"}"#), "farthing"),
        within(shown, r#"{"command": …}"#)
    );
    let goose =
        "extensions:\n  farthing:\n    cmd: farthing\n    args:\n      - mcp\n    envs:\n      A: sk-1\n";
    let shown =
        "extensions:\n  farthing:\n    cmd: farthing\n    args:\n      - mcp\n    envs:\n      A: …\n";
    assert_eq!(Client::Goose.veiled(goose, "farthing"), shown);
    let codex = "[mcp_servers.farthing]\ncommand = \"f\"\n\n[mcp_servers.farthing.env]\nA = \"sk-1\"\n";
    assert_eq!(Client::Codex.veiled(codex, "farthing"), codex.replace("\"sk-1\"", "…"));
}

#[test]
fn a_text_that_cannot_be_read_is_hidden_whole() {
    assert_eq!(Client::Cursor.veiled("{\n  \"a\": ]\n", "farthing"), "…\n  …\n");
}

/// A secret, somewhere in a value or a comment of each format.
fn configuration() -> impl Strategy<Value = (Client, String)> {
    let lead = proptest::sample::select(vec!["", "- ", "[", "key = ", "key: ", "\\n", "# ", "=", "{"]);
    let tail = proptest::sample::select(vec!["", "==", "]", ": x", " = 1", "}"]);
    (0..9_usize, lead, tail).prop_map(|(form, lead, tail)| {
        let said = format!("{lead}SECRET{tail}");
        let json = said.clone();
        match form {
            0 => {
                (Client::Cursor, format!("{{\"mcpServers\": {{\"a\": {{\"env\": {{\"K\": \"{json}\"}}}}}}}}"))
            }
            1 => (Client::Zed, format!("{{\n  \"args\": [\n    \"{json}\"\n  ]\n}}\n")),
            2 => (Client::Zed, format!("{{ // {}\n}}\n", said.replace("\\n", ""))),
            3 => (Client::Codex, format!("a = '{said}'\n")),
            4 => (Client::Codex, format!("a = \"\"\"\n{said}\n\"\"\"\n")),
            5 => (Client::Codex, format!("[[list]]\na = [\n  \"{said}\",\n]\n")),
            6 => (Client::Goose, format!("a: '{said}'\n")),
            7 => (Client::Goose, format!("a: |\n  {said}\nb: 1\n")),
            _ => (Client::Goose, format!("a:\n  - \"{said}\" # {}\n", said.replace("\\n", ""))),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_secret_is_shown((client, text) in configuration()) {
        let shown = client.veiled(&text, "farthing");
        prop_assert!(!shown.contains("SECRET"), "{} of {}", shown, text);
        prop_assert_eq!(shown.lines().count(), text.lines().count());
    }
}
