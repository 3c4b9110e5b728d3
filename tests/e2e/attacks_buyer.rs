//! The rows of "Where they fail" (reference/discovery.md) that concern paying and need the command or a chain. The other
//! rows are in crates/wallet/tests/attacks.rs; each test names its row.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use farthing_keystore::{Keystore, Passphrase};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::world::{Wallet, World};

/// The one in tests/e2e/world.rs.
const PASSPHRASE: &str = "correct horse";

/// Row: "the cap is skipped when `--payment-network` matches no offer: `--max-amount 0.01` paid $1,000".
#[tokio::test]
async fn a_forced_network_or_protocol_without_an_offer_pays_nothing() {
    let world = World::selling("\n  - {match: \"GET /dear\", price: \"$3\"}\n", "").await;
    let url = world.at("/dear");
    for network in ["base", "eip155:1"] {
        world.wallet.json(&["fetch", &url, "--max-amount", "$0.01", "--network", network], 5).await;
    }
    world.wallet.json(&["fetch", &url, "--max-amount", "$0.01", "--network", "base-sepolia"], 4).await;
    world.wallet.json(&["fetch", &url, "--max-amount", "$0.01", "--protocol", "x402-v1"], 4).await;
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}

/// Row: "settings of the wrong type are ignored, so the default $5 applies".
#[tokio::test]
async fn a_setting_of_the_wrong_type_names_its_file_line_and_field() {
    let world = World::start().await;
    let file = world.wallet.home.join("config.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    for (line, field) in [
        ("timeout_seconds: \"60\"", "`timeout_seconds`"),
        ("timeout_seconds: ten", "`timeout_seconds`"),
        ("max_body_bytes: '1'", "`max_body_bytes`"),
        ("prefer: base", "`prefer`"),
        ("max_amount: 5", "max_amount"),
    ] {
        std::fs::write(&file, format!("{line}\n{good}")).unwrap();
        let answer = world.wallet.json(&["fetch", &world.at("/weather/berlin")], 2).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("config.yaml:1:") && message.contains(field), "{line}: {message}");
    }
    assert_eq!(world.earned().await, 0);
}

/// Row: "private keys in plain text; directory 0755".
#[tokio::test]
async fn everything_in_the_wallets_folder_is_private() {
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/berlin")]).await;
    let mut seen = 0;
    private(&world.wallet.home, &mut seen);
    assert!(seen >= 6, "folders, key file, policy, ledger, body: {seen}");
}

/// The same row, for a wallet that has just been made; from a phrase and from a raw key.
#[tokio::test]
async fn a_new_wallet_shows_nobody_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = |name: &str| Wallet { home: folder.path().join(name), address: String::new() };
    let made = wallet("made");
    let said = made.json(&["init", "--yes", "--print-phrase"], 0).await;
    let phrase = said["phrase"].as_str().unwrap();
    let keys = Keystore::open(&made.home).unwrap().unlock(&Passphrase::new(PASSPHRASE.into())).unwrap();
    assert_eq!(keys.phrase().unwrap().words().as_str(), phrase);
    let secret = keys.evm().secret_key().secret_bytes();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();

    let imported = wallet("imported");
    let mut command = imported.command(&["init", "--yes", "--import", "key", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(hex.as_bytes()).await.unwrap();
    let done: Value = serde_json::from_slice(&child.wait_with_output().await.unwrap().stdout).unwrap();
    assert_eq!(done["address"], said["address"], "this is the key that must not be seen");

    for wallet in [made, imported] {
        let mut seen = 0;
        private(&wallet.home, &mut seen);
        assert_eq!(seen, 4, "the folder, keys, configuration, policy");
        for file in files(&wallet.home) {
            let text = std::fs::read_to_string(&file).unwrap().to_lowercase();
            assert!(!text.contains(&hex) && !text.contains(phrase), "{}", file.display());
        }
        let keys = std::fs::read_to_string(wallet.home.join("keys.json")).unwrap();
        assert!(keys.contains("argon2id"), "{keys}");
    }
}

fn private(path: &Path, seen: &mut u32) {
    *seen += 1;
    let mode = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    if !path.is_dir() {
        assert_eq!(mode, 0o600, "{}: {mode:o}", path.display());
        return;
    }
    assert_eq!(mode, 0o700, "{}", path.display());
    for entry in std::fs::read_dir(path).unwrap() {
        private(&entry.unwrap().path(), seen);
    }
}

/// Row: "the agent raises its own cap through a tool". No command writes the policy, and no argument widens it.
#[tokio::test]
async fn nothing_that_an_agent_calls_changes_a_cap() {
    let world = World::start().await;
    let tight = "version: 1\npayments:\n  max: \"$0.001\"\n";
    world.wallet.policy(tight);
    let url = world.at("/weather/berlin");
    world.wallet.json(&["fetch", &url, "--max-amount", "$100"], 4).await;
    world.wallet.json(&["check", &url, "--max-amount", "$100"], 4).await;
    for again in [&["init"][..], &["init", "--yes"], &["init", "--yes", "--import", "key"]] {
        let answer = world.wallet.json(again, 2).await;
        assert!(answer["error"]["message"].as_str().unwrap().contains("already"), "{again:?}: {answer}");
    }
    assert_eq!(std::fs::read_to_string(world.wallet.home.join("policy.yaml")).unwrap(), tight);
    assert_eq!(world.earned().await, 0);
}

/// The same row, by way of a file: what a seller answers does not become the policy, and the wallet's files are no body.
#[tokio::test]
async fn no_argument_names_a_file_of_a_wallet() {
    let world = World::start().await;
    let (home, url) = (&world.wallet.home, world.at("/weather/berlin"));
    world.wallet.ok(&["fetch", &url]).await;
    let id = world.wallet.newest().await["id"].as_str().unwrap().to_owned();
    let journal = world.wallet.json(&["audit", "verify"], 0).await;
    let ledger = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("ledger.db");
    let content = |path: PathBuf| (!ledger(&path)).then(|| (std::fs::read(&path).unwrap(), path));
    let before: Vec<_> = files(home).into_iter().filter_map(content).collect();
    for path in &files(home) {
        let file = path.to_str().unwrap();
        for arguments in [["-o", file].as_slice(), &["-d", &format!("@{file}")]] {
            let answer = world.wallet.json(&[&["fetch", &url], arguments].concat(), 2).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains("the folder of a wallet"), "{arguments:?}: {message}");
        }
        for what in ["--pdf", "--html", "--body"] {
            let answer = world.wallet.json(&["receipt", &id, what, "-o", file], 2).await;
            let message = answer["error"]["message"].as_str().unwrap();
            assert!(message.contains("the folder of a wallet"), "{what} {file}: {message}");
        }
        world.wallet.json(&["check", &url, "-d", &format!("@{file}")], 2).await;
    }
    world.wallet.json(&["fetch", &url, "-d", "@/proc/self/environ"], 2).await;
    for (content, path) in &before {
        assert!(*content == std::fs::read(path).unwrap(), "{} has changed", path.display());
    }
    // SQLite moves bytes between its files whenever it likes; what the ledger holds is its rows.
    assert_eq!(world.wallet.json(&["audit", "verify"], 0).await, journal, "the ledger has changed");
    assert_eq!((world.earned().await, world.upstream.served()), (2_000, 1));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What `check` calls allowed, `fetch` pays: over plain http to another machine neither does. 0.0.0.0 leads here, and is
/// no loopback address by its form.
#[tokio::test]
async fn check_says_what_fetch_would_say() {
    let world = World::start().await;
    let url = world.at("/weather/berlin").replace("127.0.0.1", "0.0.0.0");
    let answer = world.wallet.json(&["check", &url], 5).await;
    assert_eq!((answer["allowed"].as_bool(), answer["priced"].as_bool()), (Some(false), Some(true)));
    assert!(answer["error"]["message"].as_str().unwrap().contains("not https"), "{answer}");
    assert!(answer["error"]["hint"].as_str().unwrap().contains("plain_http_hosts"), "{answer}");
    world.wallet.json(&["fetch", &url], 5).await;
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));
}
