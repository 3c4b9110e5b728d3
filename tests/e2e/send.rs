//! Money sent out: within the caps, once, whichever way and whenever the process dies.

use std::process::Stdio;
use std::sync::Arc;

use farthing_devnet::Base;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::person::types;
use crate::world::{Wallet, free_port, local_chain, networks, start_server};

const TO: &str = "0x000000000000000000000000000000000000dEaD";
const PASSPHRASE: &str = "correct horse";

struct Purse {
    chain: Arc<Base>,
    wallet: Wallet,
    folder: TempDir,
}

impl Purse {
    /// A wallet with five dollars, and no ETH.
    async fn new() -> Self {
        let chain = local_chain().await;
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::new(folder.path().join("wallet"), &chain).await;
        Self { chain, wallet, folder }
    }

    /// The same, with ETH for gas.
    async fn with_eth() -> Self {
        let purse = Self::new().await;
        let ether = "1000000000000000000".parse().unwrap();
        purse.chain.set_eth_balance(purse.wallet.address.parse().unwrap(), ether).await.unwrap();
        purse
    }

    async fn facilitator(&self) -> (String, Child) {
        let config = self.folder.path().join("facilitator.yaml");
        let port = free_port();
        std::fs::write(&config, format!("listen: 127.0.0.1:{port}\n{}\n", networks(&self.chain))).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let child = start_server("facilitator", &config, &url).await;
        (url, child)
    }

    async fn held_by(&self, address: &str) -> u64 {
        self.chain.balance_of(address.parse().unwrap()).await.unwrap().to_string().parse().unwrap()
    }

    /// What the receiver and the wallet hold, in base units.
    async fn books(&self) -> (u64, u64) {
        (self.held_by(TO).await, self.held_by(&self.wallet.address).await)
    }

    async fn purchases(&self) -> Vec<Value> {
        self.wallet.json(&["history"], 0).await["purchases"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn it_is_sent_with_the_wallets_own_ether_and_stands_in_the_record() {
    let purse = Purse::with_eth().await;
    let sent = purse.wallet.json(&["send", &TO.to_lowercase(), "$1.25", "--yes"], 0).await;
    assert_eq!(purse.books().await, (1_250_000, 3_750_000));
    assert_eq!(
        (&sent["to"], &sent["value"], &sent["settled_by"]),
        (&TO.into(), &"$1.25".into(), &"direct".into())
    );
    let transaction = sent["transaction"].as_str().unwrap();
    assert!(purse.chain.receipt(transaction.parse().unwrap()).await.unwrap().unwrap().succeeded());

    let purchase = purse.wallet.newest().await;
    assert_eq!((&purchase["state"], &purchase["method"]), (&"paid".into(), &"SEND".into()));
    assert_eq!(purchase["outcome"]["transaction"], sent["transaction"]);
    let budgets = purse.wallet.json(&["balance"], 0).await;
    assert_eq!(budgets["budgets"][0]["used"], "$1.25", "it counts in the budgets: {budgets}");
    purse.wallet.json(&["send", TO, "all", "--yes"], 0).await;
    assert_eq!(purse.books().await, (5_000_000, 0));
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn without_ether_nothing_is_signed_and_a_facilitator_can_do_it() {
    let purse = Purse::new().await;
    let refused = purse.wallet.json(&["send", TO, "$1", "--yes"], 5).await;
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--via"), "{refused}");
    assert_eq!(purse.purchases().await.len(), 0, "nothing was signed, so nothing is reserved");

    let (url, _facilitator) = purse.facilitator().await;
    let sent = purse.wallet.json(&["send", TO, "$1", "--yes", "--via", &url], 0).await;
    assert_eq!(sent["settled_by"], url.as_str());
    let config = purse.wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}facilitator: {{url: \"{url}\"}}\n")).unwrap();
    purse.wallet.json(&["send", TO, "$1", "--yes"], 0).await;
    assert_eq!(purse.books().await, (2_000_000, 3_000_000));
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn the_caps_hold_for_whoever_has_a_shell() {
    let purse = Purse::with_eth().await;
    purse.wallet.policy(
        "version: 1\npayments:\n  max: \"$0.50\"\n  budgets: [{name: day, max: \"$0.75\", per: 24 hours}]\n",
    );
    let over = purse.wallet.json(&["send", TO, "$1", "--yes"], 4).await;
    assert_eq!(over["error"]["denial"]["code"], "above_maximum", "{over}");
    purse.wallet.json(&["send", TO, "$0.50", "--yes"], 0).await;
    let over = purse.wallet.json(&["send", TO, "$0.30", "--yes"], 4).await;
    assert_eq!(over["error"]["denial"]["rule"], "day", "{over}");
    // The passphrase in the environment is no person.
    purse.wallet.json(&["send", TO, "$1", "--yes", "--beyond-policy"], 2).await;
    purse.wallet.json(&["send", TO, "$1", "--beyond-policy"], 2).await;
    purse.wallet.json(&["send", TO, "$0.10"], 2).await;
    for hosts in ["hosts: {allow: [api.example.com]}", "hosts: {deny: [send.invalid]}"] {
        purse.wallet.policy(&format!("version: 1\npayments:\n  max: \"$0.50\"\n  {hosts}\n"));
        purse.wallet.json(&["send", TO, "$0.10", "--yes"], 4).await;
    }
    purse.wallet.ok(&["freeze", "stop"]).await;
    purse.wallet.policy(crate::world::GENEROUS);
    purse.wallet.json(&["send", TO, "$0.10", "--yes"], 4).await;
    assert_eq!(purse.books().await, (500_000, 4_500_000));
}

#[tokio::test]
async fn money_is_not_sent_where_it_is_lost() {
    let purse = Purse::with_eth().await;
    let usdc = purse.chain.usdc().to_string();
    for to in ["0x0000000000000000000000000000000000000000", &purse.wallet.address, &usdc, "nobody"] {
        purse.wallet.json(&["send", to, "$1", "--yes"], 2).await;
    }
    let short = purse.wallet.json(&["send", TO, "$5.01", "--yes"], 4).await;
    assert_eq!(short["error"]["denial"]["code"], "above_maximum");
    purse.wallet.json(&["send", TO, "$1", "--yes", "--network", "base"], 2).await;
    assert_eq!(purse.purchases().await.len(), 0);
}

#[tokio::test]
async fn a_person_who_types_the_passphrase_may_go_beyond_the_policy() {
    let purse = Purse::with_eth().await;
    purse.wallet.policy("version: 1\npayments:\n  max: \"$0.50\"\n");
    let send = ["send", TO, "$2", "--beyond-policy"];
    let said = [("Send it? [y/N]", "y"), ("Passphrase of the wallet:", "wrong horse")];
    let wrong = types(&purse.wallet, &send, &said).await;
    assert_eq!(wrong.code, 8, "{}", wrong.screen);
    let no = types(&purse.wallet, &send, &[("Send it? [y/N]", "")]).await;
    assert_eq!(no.code, 4, "{}", no.screen);
    assert_eq!(purse.purchases().await.len(), 0);

    let said = [("Send it? [y/N]", "y"), ("Passphrase of the wallet:", PASSPHRASE)];
    let seen = types(&purse.wallet, &send, &said).await;
    assert_eq!(seen.code, 0, "{}", seen.screen);
    for part in ["$2.00", TO, "Base Sepolia", "$3.00 is left", "the policy refuses it"] {
        assert!(seen.screen.contains(part), "{part}: {}", seen.screen);
    }
    assert_eq!(purse.books().await, (2_000_000, 3_000_000));
    let record = purse.wallet.ok(&["audit", "export"]).await;
    assert!(String::from_utf8_lossy(&record).contains("--beyond-policy"), "it stands in the record");
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn what_did_not_get_through_is_sent_again_and_arrives_once() {
    let purse = Purse::with_eth().await;
    let broken = Other::start("eip155:84532", true).await;
    let lost = purse.wallet.json(&["send", TO, "$1", "--yes", "--via", &broken.url], 6).await;
    let id = lost["purchase"].as_str().unwrap();
    assert!(lost["error"]["hint"].as_str().unwrap().contains(&format!("send --resume {id}")), "{lost}");
    assert_eq!(purse.books().await, (0, 5_000_000));
    // Whichever way: the signature is the same.
    let sent = purse.wallet.json(&["send", "--resume", id], 0).await;
    assert_eq!((&sent["purchase"], purse.books().await), (&id.into(), (1_000_000, 4_000_000)));
    purse.wallet.json(&["send", "--resume", id], 2).await;
    assert_eq!(purse.books().await, (1_000_000, 4_000_000));
    assert_eq!(purse.purchases().await.len(), 1);
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn nothing_is_signed_for_a_facilitator_that_is_not_there_or_settles_elsewhere() {
    let purse = Purse::new().await;
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let elsewhere = Other::start("eip155:8453", true).await;
    for (via, code) in [(&nowhere, 3), (&elsewhere.url, 5)] {
        let refused = purse.wallet.json(&["send", TO, "$1", "--yes", "--via", via], code).await;
        assert!(refused["error"]["hint"].as_str().unwrap().contains("nothing was sent"), "{refused}");
    }
    assert_eq!(purse.purchases().await.len(), 0, "nothing is reserved");
}

/// Somebody else's facilitator, which no program of ours can be: it says what it settles, and then breaks off or keeps
/// its client waiting.
pub(crate) struct Other {
    pub(crate) url: String,
    /// How many were to be settled.
    asked: tokio::sync::mpsc::UnboundedReceiver<()>,
}

impl Other {
    pub(crate) async fn start(network: &'static str, breaks: bool) -> Self {
        let (tell, asked) = tokio::sync::mpsc::unbounded_channel();
        let kinds = serde_json::json!({"kinds": [{"x402Version": 2, "scheme": "exact", "network": network}]});
        let settle = move || async move {
            tell.send(()).unwrap();
            if !breaks {
                std::future::pending::<()>().await;
            }
            http::StatusCode::BAD_GATEWAY
        };
        let router = axum::Router::new()
            .route("/supported", axum::routing::get(|| async { axum::Json(kinds) }))
            .route("/settle", axum::routing::post(settle));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }
}

#[tokio::test]
async fn whoever_breaks_it_off_is_told_how_to_go_on() {
    let purse = Purse::with_eth().await;
    let mut slow = Other::start("eip155:84532", false).await;
    let mut sent = Vec::new();
    for signal in ["-INT", "-TERM"] {
        let mut command = purse.wallet.command(&["send", TO, "$1", "--yes", "--json", "--via", &slow.url]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        slow.asked.recv().await.unwrap();
        let pid = child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let done = child.wait_with_output().await.unwrap();
        assert_eq!(done.status.code(), Some(6), "{signal}: {}", String::from_utf8_lossy(&done.stderr));
        let told: Value = serde_json::from_slice(&done.stdout).unwrap();
        let id = told["purchase"].as_str().unwrap().to_owned();
        let hint = told["error"]["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("`farthing send --resume {id}`")), "{signal}: {told}");
        assert_eq!(purse.wallet.newest().await["state"], "unknown");
        sent.push(id);
    }
    assert_eq!(purse.books().await, (0, 5_000_000));
    for id in &sent {
        purse.wallet.json(&["send", "--resume", id], 0).await;
    }
    assert_eq!((purse.books().await, purse.purchases().await.len()), ((2_000_000, 3_000_000), 2));
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn the_id_is_told_before_anything_leaves() {
    let purse = Purse::new().await;
    let mut slow = Other::start("eip155:84532", false).await;
    let mut command = purse.wallet.command(&["send", TO, "$1", "--yes", "--via", &slow.url]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    slow.asked.recv().await.unwrap();
    child.kill().await.unwrap();
    let said = child.wait_with_output().await.unwrap().stderr;
    let id = purse.wallet.newest().await["id"].as_str().unwrap().to_owned();
    assert!(String::from_utf8_lossy(&said).contains(&id), "{said:?}");
}

/// What a receiver of webhooks got.
async fn hook() -> (String, tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let take = move |axum::Json(body): axum::Json<Value>| async move { tell.send(body).unwrap() };
    let router = axum::Router::new().route("/hook", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, told)
}

#[tokio::test]
async fn a_transfer_that_waits_for_a_person_is_told_to_the_webhook() {
    let purse = Purse::with_eth().await;
    purse.wallet.policy("version: 1\npayments:\n  max: \"$5\"\n  approve_above: \"$0.50\"\n");
    let (url, mut told) = hook().await;
    let config = purse.wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    let approvals = format!("approvals: {{webhook: \"{url}\", secret_env: HOOK_SECRET}}\n");
    std::fs::write(&config, format!("{text}{approvals}")).unwrap();
    let mut asked = Vec::new();
    for _ in 0..2 {
        let mut command = purse.wallet.command(&["send", TO, "$1", "--yes", "--json"]);
        let done = command.env("HOOK_SECRET", "s3cret").output().await.unwrap();
        assert_eq!(done.status.code(), Some(4), "{}", String::from_utf8_lossy(&done.stdout));
        let refused: Value = serde_json::from_slice(&done.stdout).unwrap();
        asked.push(refused["error"]["denial"]["approval"]["id"].as_str().unwrap().to_owned());
    }
    let id = &asked[0];
    assert_eq!((id, told.try_recv().unwrap()["id"].as_str()), (&asked[1], Some(id.as_str())));
    assert!(told.try_recv().is_err(), "it is told once");
    purse.wallet.ok(&["approvals", "approve", id]).await;
    purse.wallet.json(&["send", TO, "$1", "--yes"], 0).await;
    assert_eq!(purse.books().await, (1_000_000, 4_000_000));
}

#[tokio::test]
async fn the_environment_names_session_and_agent_and_no_person_takes_its_word() {
    let purse = Purse::with_eth().await;
    purse.wallet.policy(
        "version: 1\npayments:\n  max: \"$5\"\n  budgets: [{name: sitting, max: \"$1\", per: session}]\n",
    );
    let send = async |args: &[&str], name: &str, value: &str| {
        let mut command = purse.wallet.command(&[&["send", TO, "$0.60", "--json"], args].concat());
        let done = command.env(name, value).output().await.unwrap();
        (done.status.code().unwrap(), serde_json::from_slice::<Value>(&done.stdout).unwrap())
    };
    assert_eq!(send(&["--yes"], "FARTHING_SESSION", "s").await.0, 0);
    let (code, over) = send(&["--yes"], "FARTHING_SESSION", "s").await;
    assert_eq!((code, &over["error"]["denial"]["rule"]), (4, &"sitting".into()), "{over}");
    assert_eq!(send(&["--yes", "--session", "t"], "FARTHING_SESSION", "s").await.0, 0);

    purse.wallet.policy("version: 1\npayments: {max: \"$5\"}\nagents: {bot: {payments: {max: \"$0.50\"}}}\n");
    let (code, over) = send(&["--yes"], "FARTHING_AGENT", "bot").await;
    assert_eq!((code, &over["error"]["denial"]["rule"]), (4, &"agents.bot.payments.max".into()), "{over}");
    // Nobody is at a terminal here: that, and not the variable, is what is in the way.
    let (code, asked) = send(&["--beyond-policy"], "FARTHING_AGENT", "bot").await;
    assert_eq!(code, 2, "{asked}");
    assert!(asked["error"]["message"].as_str().unwrap().contains("nobody is at a terminal"), "{asked}");
    let (code, both) = send(&["--beyond-policy", "--agent", "bot"], "FARTHING_SESSION", "s").await;
    assert!(code == 2 && both["error"]["message"].as_str().unwrap().contains("--agent"), "{both}");
    assert_eq!(purse.books().await, (1_200_000, 3_800_000));
}

#[tokio::test]
async fn whenever_it_dies_it_is_sent_once() {
    let purse = Purse::with_eth().await;
    let points =
        ["wallet.recorded", "facilitator.begun", "rail_evm.recorded", "rail_evm.sent", "facilitator.settled"];
    for (count, point) in (1..).zip(points) {
        let mut dying = purse.wallet.command(&["send", TO, "$0.50", "--yes"]);
        let died = dying.env("FARTHING_FAULT", point).output().await.unwrap();
        assert!(!died.status.success() && died.status.code().is_none(), "it did not die at {point}");
        let id = purse.wallet.newest().await["id"].as_str().unwrap().to_owned();
        let sent = purse.wallet.json(&["send", "--resume", &id], 0).await;
        assert_eq!(sent["outcome"]["outcome"], "paid", "{point}: {sent}");
        assert_eq!(purse.books().await.0, 500_000 * count, "{point}");
        assert_eq!(purse.wallet.newest().await["state"], "paid", "{point}");
    }
    purse.wallet.ok(&["reconcile"]).await;
    assert_eq!(purse.purchases().await.len(), points.len());
    purse.wallet.assert_whole().await;
}

#[tokio::test]
async fn two_at_once_do_not_get_into_each_others_way() {
    let purse = Purse::with_eth().await;
    let send = || purse.wallet.command(&["send", TO, "$0.50", "--yes"]).output();
    let (one, other) = tokio::join!(send(), send());
    let went = [&one, &other].iter().filter(|done| done.as_ref().unwrap().status.success()).count();
    assert!(went >= 1, "{one:?} {other:?}");
    assert_eq!(purse.books().await.0, 500_000 * went as u64);
    assert!(purse.purchases().await.iter().all(|purchase| purchase["state"] == "paid"));
}
