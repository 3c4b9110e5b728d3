//! A passphrase that somebody typed, on a machine without a keyring: `person::types` lets nobody reach one.

use crate::person::types;
use crate::world::{Wallet, local_chain};

#[tokio::test]
async fn a_person_without_a_keyring_is_told_what_agents_need() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = Wallet { home: folder.path().join("wallet"), address: String::new() };
    let twice = [("New passphrase", "correct horse"), ("The same again", "correct horse")];
    let made = types(&wallet, &["init"], &twice).await;
    assert_eq!(made.code, 0, "{}", made.screen);
    assert!(!made.screen.contains("[y/N]"), "there is none to keep it in: {}", made.screen);
    for part in ["Write these words down", "your agents cannot pay", "unlock: {command: ", "farthing fund"] {
        assert!(made.screen.contains(part), "{part}: {}", made.screen);
    }

    let keep = ["wallet", "keyring", "keep"];
    let none = types(&wallet, &keep, &[("Passphrase", "correct horse")]).await;
    assert!(none.code == 2 && none.screen.contains("the keyring did not do it"), "{}", none.screen);
    let wrong = types(&wallet, &keep, &[("Passphrase", "wrong")]).await;
    assert!(wrong.code == 8 && wrong.screen.contains("does not open"), "{}", wrong.screen);
    // Nobody but a person who knows the passphrase takes it away: it may stand nowhere else.
    let forget = wallet.json(&["wallet", "keyring", "forget"], 8).await;
    assert!(forget["error"]["message"].as_str().unwrap().contains("has to be typed"), "{forget}");
}

#[tokio::test]
async fn the_doctor_says_what_opens_the_keys_for_agents() {
    let (folder, chain) = (tempfile::tempdir().unwrap(), local_chain().await);
    let wallet = Wallet::new(folder.path().join("wallet"), &chain).await;
    for (unlock, status, word) in [
        ("prompt", "warn", "asks a person"),
        ("{fd: 3}", "ok", "descriptor 3"),
        ("{command: [pass, show, farthing]}", "ok", "names what opens them"),
    ] {
        let networks = format!("networks: {{base-sepolia: {{rpc: [\"{}\"]}}}}", chain.rpc_url());
        let config = format!("version: 1\n{networks}\nunlock: {unlock}\n");
        std::fs::write(wallet.home.join("config.yaml"), config).unwrap();
        let found = wallet.json(&["doctor"], 0).await;
        let checks = found["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["check"] == "unlock").unwrap();
        assert_eq!(check["status"], status, "{check}");
        assert!(check["message"].as_str().unwrap().contains(word), "{check}");
    }
}
