//! What each client's file looks like, before and after: files in `tests/golden/CLIENT`. `empty` begins with no file,
//! `busy` with other people's entries and comments, `outdated` with an entry of ours that says something else.
//!
//! `UPDATE_GOLDEN=1 cargo test -p farthing-install --test golden` writes the `.after` files anew; read them then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use farthing_install::{Client, Server};

fn server() -> Server {
    Server {
        name: "farthing".to_owned(),
        command: "/usr/local/bin/farthing".to_owned(),
        args: ["mcp", "--agent", "writer"].map(str::to_owned).to_vec(),
    }
}

fn folder(client: Client) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(client.name())
}

/// The texts to begin with, by name.
fn beginnings(client: Client) -> Vec<(String, Option<String>)> {
    let mut found = vec![("empty".to_owned(), None)];
    for file in std::fs::read_dir(folder(client)).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "before") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.push((name, Some(std::fs::read_to_string(&path).unwrap())));
        }
    }
    found
}

#[test]
fn every_client_gets_its_entry_and_nothing_else_changes() {
    for client in Client::ALL {
        let beginnings = beginnings(client);
        assert!(beginnings.len() >= 3, "{client} has no golden files");
        for (name, before) in beginnings {
            let after = client
                .with(before.as_deref(), &server())
                .unwrap_or_else(|error| panic!("{client} {name}: {error}"));
            let golden = folder(client).join(format!("{name}.after"));
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&golden, &after).unwrap();
            }
            assert_eq!(after, std::fs::read_to_string(&golden).unwrap(), "{client} {name}");
            assert_eq!(client.with(Some(&after), &server()).unwrap(), after, "{client} {name}: not settled");
        }
    }
}

#[test]
fn taking_the_entry_out_gives_the_original_back() {
    for client in Client::ALL {
        for (name, before) in beginnings(client) {
            let Some(before) = before.filter(|_| name != "outdated") else { continue };
            let after = client.with(Some(&before), &server()).unwrap();
            let witnessed = client.without(&after, "farthing", &["{}".to_owned(), before.clone()]).unwrap();
            assert_eq!(witnessed.as_ref(), Some(&before), "{client} {name}, with a backup");
            if name != "flow" {
                let alone = client.without(&after, "farthing", &[]).unwrap();
                assert_eq!(alone.as_ref(), Some(&before), "{client} {name}, without a backup");
            }
        }
        let made = client.with(None, &server()).unwrap();
        assert_eq!(client.without(&made, "farthing", &[]).unwrap(), None, "{client}: a file of ours alone");
    }
}

#[test]
fn an_entry_that_changed_since_goes_as_well() {
    for client in Client::ALL {
        for (name, before) in beginnings(client).into_iter().filter(|(name, _)| name == "outdated") {
            let left = client.without(&before.unwrap(), "farthing", &[]).unwrap().unwrap_or_default();
            assert!(!left.contains("/old/farthing"), "{client} {name}: {left}");
            assert_eq!(client.without(&left, "farthing", &[]).unwrap().as_ref(), Some(&left));
        }
    }
}
