//! `farthing init` dies while it writes the keys: there is a whole wallet afterwards or none, never half of one.

use super::points::{self, Victim};
use super::shop::{aborted, shown};
use crate::world::Wallet;

#[tokio::test]
async fn a_wallet_is_there_or_not() {
    for point in points::of(&[Victim::Init]) {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet { home: folder.path().join("wallet"), address: String::new() };
        let done = wallet.command(&["init", "--yes"]).env("FARTHING_FAULT", point).output().await.unwrap();
        assert!(aborted(done.status), "{point}: {}", shown(&done));
        let keys = wallet.home.join("keys.json");
        let before = std::fs::read(&keys).ok();
        assert_eq!(before.is_some(), point == "keystore.linked", "{point}");

        let again = wallet.run(&["init", "--yes"]).await;
        // Keys that are there are never replaced: they may hold money already.
        assert_eq!(again.status.success(), before.is_none(), "{point}: {}", shown(&again));
        if before.is_some() {
            assert_eq!(std::fs::read(&keys).ok(), before, "{point}");
        }
        let said = wallet.json(&["address"], 0).await;
        assert!(said["addresses"][0]["address"].as_str().unwrap().starts_with("0x"), "{point}: {said}");
    }
}
