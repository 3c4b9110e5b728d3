//! `farthing proxy tokens`, and who may call without one.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::{POLICY, token};
use crate::world::Wallet;

/// A wallet that never pays.
async fn wallet(folder: &tempfile::TempDir) -> Wallet {
    let wallet = Wallet { home: folder.path().join("wallet"), address: String::new() };
    wallet.ok(&["init", "--yes"]).await;
    wallet.policy(POLICY);
    wallet
}

async fn ids(wallet: &Wallet) -> BTreeSet<String> {
    let listed = wallet.json(&["proxy", "tokens", "list"], 0).await;
    let tokens = listed["tokens"].as_array().unwrap();
    tokens.iter().map(|token| token["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn none_is_lost_that_is_made_or_taken_back_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = wallet(&folder).await;
    let made = join_all((0..8).map(|_| token(&wallet, "researcher"))).await;
    let before = ids(&wallet).await;
    assert_eq!((made.len(), before.len()), (8, 8));
    let (gone, stay): (Vec<_>, Vec<_>) = before.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let removals = join_all(gone.iter().map(|(_, id)| {
        let wallet = &wallet;
        async move { wallet.ok(&["proxy", "tokens", "remove", id]).await }
    }));
    let (_, added) = tokio::join!(removals, join_all((0..4).map(|_| token(&wallet, "intern"))));
    let after = ids(&wallet).await;
    assert!(stay.iter().all(|(_, id)| after.contains(id)) && gone.iter().all(|(_, id)| !after.contains(id)));
    assert_eq!(after.len(), stay.len() + added.len());
}

#[tokio::test]
async fn who_starts_it_as_an_agent_needs_no_other_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = wallet(&folder).await;
    let mut command = wallet.command(&["proxy", "tokens", "list"]);
    assert!(command.env("FARTHING_AGENT", "researcher").output().await.unwrap().status.success());
    // Without a token nobody could call: said by the proxy itself, not by its arguments.
    let mut command = wallet.command(&["proxy"]);
    let done = command.env("FARTHING_AGENT", "researcher").output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("there is no token") && !said.contains("required"), "{said}");
}

#[tokio::test]
async fn nobody_comes_without_a_token_by_another_name_or_from_another_machine() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = wallet(&folder).await;
    for more in [["--allow-host", "proxy.example"], ["--listen", "0.0.0.0:0"]] {
        let done = wallet.run(&[&["proxy", "--without-token"], more.as_slice()].concat()).await;
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains("have to show a token"), "{said}");
    }
}
