//! What is left alone, and why: each refusal names its place.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use farthing_install::{Client, EditError, Server};

fn server() -> Server {
    Server { name: "farthing".to_owned(), command: "farthing".to_owned(), args: vec!["mcp".to_owned()] }
}

fn refused(client: Client, text: &str) -> String {
    let error = client.with(Some(text), &server()).unwrap_err();
    assert!(!matches!(error, EditError::Unsure), "{text}");
    error.to_string()
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (client, text, place) in [
        (Client::Cursor, "{\n  \"mcpServers\": {\n    \"ä\": ]\n", "line 3, column 10: "),
        (Client::Cursor, "{\"a\": 1 \"b\": 2}", "line 1, column 8: "),
        (Client::Cursor, "{'a': 1}", "line 1, column 2: "),
        (Client::Cursor, "{} {}", "line 1, column 4: "),
        (Client::Cursor, "{\"a\": ", "line 1, column "),
        (Client::Codex, "a = 1\nb = \n", "line 2, column 5: "),
        (Client::Codex, "[a]\n[a]\n", "line 2, column "),
        (Client::Goose, "a: 1\nb: c: d\n", "line 2, column 5: "),
        (Client::Goose, "a: [1,\n", "line 1, column 4: "),
    ] {
        let said = refused(client, text);
        assert!(said.starts_with(place), "{client} {text:?}: {said}");
    }
}

#[test]
fn what_leaves_no_room_is_refused_with_its_place() {
    for (client, text, why) in [
        (Client::Cursor, "[1]", "line 1, column 1: a map was expected"),
        (Client::Cursor, "{\"mcpServers\": [\"a\"]}", "line 1, column 16: a map was expected"),
        (
            Client::Cursor,
            "{\"mcpServers\": {},\n \"mcpServers\": {}}",
            "line 2, column 2: the key `mcpServers` stands here for a second",
        ),
        (Client::Cursor, "{\"mcpServers\": {\"farthing\": {\"url\": \"x\"}}}", "starts no program"),
        (Client::Cursor, "{\"mcpServers\": {\"farthing\": 1}}", "starts no program"),
        (
            Client::Cursor,
            "{\"mcpServers\": {\"farthing\": {\"command\": \"a\", \"command\": \"b\"}}}",
            "second time",
        ),
        (
            Client::Codex,
            "mcp_servers = { a = { command = \"x\" } }\n",
            "line 1, column 15: this table is not written as",
        ),
        (Client::Codex, "mcp_servers = 1\n", "line 1, column 15: a map was expected"),
        (
            Client::Goose,
            "extensions: {a: {cmd: x}}\n",
            "line 1, column 13: this map is not written one key a line",
        ),
        (
            Client::Goose,
            "extensions: { # mine\n}\nA: b\n",
            "line 1, column 13: this map holds a comment only",
        ),
        (Client::Goose, "extensions: &x\n  a: 1\n", "one key a line"),
        (Client::Goose, "a: 1\n---\nb: 2\n", "more than one document"),
        (Client::Goose, "- a\n", "a map was expected"),
        (Client::Goose, "extensions:\n  a: 1\nextensions:\n  b: 1\n", "second time"),
    ] {
        let said = refused(client, text);
        assert!(said.contains(why), "{client} {text:?}: {said}");
    }
}

#[test]
fn an_entry_that_is_somebody_elses_is_not_taken_away() {
    for (client, text, place) in [
        (Client::Cursor, "{\"mcpServers\": {\"farthing\": {\"url\": \"x\"}}}", "line 1, column 17: "),
        (Client::Codex, "[mcp_servers.farthing]\nurl = \"x\"\n", "line 1, column "),
        (Client::Goose, "extensions:\n  farthing:\n    uri: x\n", "line 2, column 3: "),
    ] {
        // Neither with nor without a backup that would lead here.
        for backups in [&[][..], &["{}".to_owned(), String::new()]] {
            let error = client.without(text, "farthing", backups).unwrap_err();
            assert!(matches!(error, EditError::Foreign { .. }), "{client}: {error}");
            assert!(error.to_string().starts_with(place), "{client}: {error}");
        }
        assert!(client.has(text, "farthing").is_err() && !client.has(text, "purse").unwrap());
    }
}

#[test]
fn an_end_of_the_document_is_not_written_over() {
    let error = Client::Goose.with(Some("a: 1\n...\n"), &server()).unwrap_err();
    assert_eq!(error, EditError::Unsure);
}

#[test]
fn depth_ends_somewhere() {
    let deep = |open: &str, close: &str| open.repeat(20_000) + &close.repeat(20_000);
    refused(Client::Cursor, &format!("{{\"a\": {}}}", deep("[", "]")));
    refused(Client::Codex, &format!("a = {}\n", deep("[", "]")));
    refused(Client::Goose, &format!("a: {}\n", deep("[", "]")));
    let nested: String = (0..200).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    refused(Client::Goose, &nested);
}

#[test]
fn names_of_others_that_look_alike_are_not_ours() {
    for text in [
        "{\"mcpServers\": {\"farthing2\": {\"command\": \"x\"}}, \"farthing\": {\"command\": \"y\"}}",
        "{\"other\": {\"mcpServers\": {\"farthing\": {\"command\": \"x\"}}}}",
        "{\"mcpServers\": {\"a\": {\"farthing\": {\"command\": \"x\"}}}, \"b\": \"\\\"farthing\\\": {}\"}",
    ] {
        assert_eq!(Client::Cursor.without(text, "farthing", &[]).unwrap().as_deref(), Some(text));
        let with = Client::Cursor.with(Some(text), &server()).unwrap();
        let backups = [text.to_owned()];
        assert_eq!(Client::Cursor.without(&with, "farthing", &backups).unwrap().as_deref(), Some(text));
    }
}

#[test]
fn comments_around_the_entry_outlive_it() {
    for (client, text, left) in [
        (
            Client::Claude,
            "{\n  \"mcpServers\": { // all of them\n    \"farthing\": {\"command\": \"x\"} // pays\n  }\n}\n",
            "{\n  \"mcpServers\": { // all of them\n     // pays\n  }\n}\n",
        ),
        (
            Client::Goose,
            "extensions: # all of them\n  # pays\n  farthing: {cmd: x}\nA: b\n",
            "extensions: # all of them\n  # pays\nA: b\n",
        ),
        (
            Client::Codex,
            "[mcp_servers] # all of them\n\n# pays\n[mcp_servers.farthing]\ncommand = \"x\"\n# the end\n",
            "[mcp_servers] # all of them\n\n# pays\n# the end\n",
        ),
    ] {
        assert_eq!(client.without(text, "farthing", &[]).unwrap().as_deref(), Some(left), "{client}");
    }
}

#[test]
fn an_escaped_key_is_the_same_key() {
    let text = "{\"mcpServers\": {\"f\\u0061rthing\": {\"command\": \"farthing\", \"args\": [\"mcp\"], \"type\": \"stdio\"}}}";
    assert_eq!(Client::Cursor.with(Some(text), &server()).unwrap(), text);
}

#[test]
fn null_and_nothing_are_places_for_an_entry() {
    assert_eq!(
        Client::Claude.with(Some("{\"mcpServers\": null}"), &server()).unwrap(),
        "{\"mcpServers\": {\n  \"farthing\": {\n    \"command\": \"farthing\",\n    \"args\": [\"mcp\"]\n  }\n}}"
    );
    for text in ["extensions:\nA: b\n", "extensions: ~\nA: b\n", "extensions: null # none\nA: b\n"] {
        let with = Client::Goose.with(Some(text), &server()).unwrap();
        assert!(
            with.starts_with("extensions:") && with.contains("\n  farthing:\n    enabled: true\n"),
            "{with}"
        );
        assert!(with.ends_with("\nA: b\n"), "{with}");
    }
}
