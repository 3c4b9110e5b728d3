//! Where one stands: the status page, the doctor, lists and sums, colours, manual pages; and the keys themselves.

use std::os::unix::fs::PermissionsExt as _;

use farthing_ambient::SystemClock;
use farthing_devnet::Base;
use farthing_ledger::{Ledger, NewPurchase, PurchaseId, Reserved};
use farthing_money::{BaseUnits, Network};
use farthing_policy::{ApprovalNeed, Needs};

use crate::person::types;
use crate::world::{GENEROUS, Wallet, World, away_from_midnight, local_chain};

const PASSPHRASE: &str = "correct horse";

async fn wallet(chain: &Base) -> (tempfile::TempDir, Wallet) {
    let folder = tempfile::tempdir().unwrap();
    let wallet = Wallet::new(folder.path().join("wallet"), chain).await;
    (folder, wallet)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn without_a_wallet_the_first_steps_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Wallet { home: folder.path().join("none"), address: String::new() };
    let said = text(&nobody.ok(&[]).await);
    assert!(said.contains("farthing init") && said.contains("farthing fund"), "{said}");
    assert_eq!(nobody.json(&["status"], 0).await["wallet"], serde_json::Value::Null);
    assert!(!nobody.home.exists(), "looking makes nothing");
    assert!(text(&nobody.ok(&["--help"]).await).contains("Usage:"));
}

#[tokio::test]
async fn the_status_page_says_what_was_spent_what_is_frozen_and_what_is_silent() {
    away_from_midnight().await;
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/bern")]).await;
    let status = world.wallet.json(&[], 0).await;
    assert_eq!(
        (&status["today"]["settled"], &status["today"]["settled_payments"]),
        (&"$0.002".into(), &1.into())
    );
    world.wallet.ok(&["freeze", "something is wrong"]).await;
    // A chain is not waited for long.
    let mut page = String::new();
    for _ in 0..20 {
        page = text(&world.wallet.ok(&[]).await);
        if page.contains("$4.998") {
            break;
        }
    }
    for part in ["frozen", "something is wrong", "$4.998", "of $100.00"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains('█') && !page.contains('\u{1b}'), "nothing is drawn into a pipe: {page}");
    // A chain that takes a connection and says nothing is not waited for long.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "version: 1\nnetworks: {{base-sepolia: {{rpc: [\"http://{}\"]}}}}\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(world.wallet.home.join("config.yaml"), config).unwrap();
    let began = std::time::Instant::now();
    let status = world.wallet.json(&["status"], 0).await;
    assert!(began.elapsed() < std::time::Duration::from_secs(12), "{:?}", began.elapsed());
    assert!(status["balances"][0]["error"].as_str().unwrap().contains("did not answer"), "{status}");
    assert_eq!(status["today"]["settled"], "$0.002", "what the ledger knows is said all the same");
    let next = status["next"].to_string();
    assert!(
        next.contains("farthing doctor") && !next.contains("farthing fund"),
        "silent is not empty: {next}"
    );
}

#[tokio::test]
async fn the_status_page_knows_every_budget_and_what_stops_everything() {
    away_from_midnight().await;
    let world = World::start().await;
    world.wallet.policy(
        r#"
version: 1
kill: the researcher runs wild
payments:
  max: "$1"
  budgets:
    - {name: day, max: "$5", per: day}
    - {name: one-host, max: "$2", per: day, each: host}
agents:
  bot: {payments: {budgets: [{name: hour, max: "$0.50", per: 60 minutes}]}}
"#,
    );
    let status = world.wallet.json(&["status"], 0).await;
    let rules: Vec<_> = status["budgets"].as_array().unwrap().iter().map(|one| one["rule"].clone()).collect();
    assert_eq!(rules, ["day", "agents.bot.hour"]);
    assert_eq!(status["killed"], "the researcher runs wild");
    let page = text(&world.wallet.ok(&[]).await);
    for part in ["agents.bot.hour", "of $0.50", "counted for each host", "the researcher runs wild"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

/// A guard's folder has a record, and no wallet.
#[tokio::test]
async fn beside_a_guard_the_freeze_and_what_waits_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let guard = Wallet { home: folder.path().to_owned(), address: String::new() };
    let clock = std::sync::Arc::new(SystemClock);
    let ledger = Ledger::open(&folder.path().join("ledger.db"), clock).unwrap();
    let (purchase, needs) = (purchase("01A"), Needs { approval: Some(need()), ..Needs::default() });
    let Reserved::Denied(denial) = ledger.reserve_with(purchase, needs).await.unwrap() else {
        panic!("granted")
    };
    ledger.freeze("stop".into(), "ana".into()).await.unwrap();
    ledger.close().await.unwrap();
    let id = denial.approval.unwrap().id;
    let status = guard.json(&["status"], 0).await;
    assert_eq!((&status["wallet"], &status["frozen"]["why"]), (&serde_json::Value::Null, &"stop".into()));
    assert_eq!(status["pending_approvals"], serde_json::json!([id]));
    let page = text(&guard.ok(&[]).await);
    for part in ["no wallet", "frozen", "stop", &id] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

fn need() -> ApprovalNeed {
    ApprovalNeed { rule: "large".into(), terms: "{}".into(), valid: std::time::Duration::from_secs(3600) }
}

fn purchase(id: &str) -> NewPurchase {
    NewPurchase {
        id: PurchaseId(id.into()),
        method: "GET".into(),
        url: "https://api.example.com/".into(),
        request_digest: "3c".repeat(32),
        protocol: "x402-v2".into(),
        scheme: "exact".into(),
        network: Network::BASE,
        asset: "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913".into(),
        amount: BaseUnits::new(1_000),
        value: "$0.001".parse().unwrap(),
        pay_to: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C".into(),
        payer: "0x857b06519E91e3A54538791bDbb0E22373e36b66".into(),
        offer: "{}".into(),
        policy_hash: "9d".repeat(32),
        agent: None,
        session: None,
    }
}

#[tokio::test]
async fn a_table_of_comma_separated_values_has_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = Wallet { home: folder.path().join("wallet"), address: String::new() };
    wallet.ok(&["init", "--yes"]).await;
    // More than the pages in which they are read.
    const COUNT: usize = 1_001;
    let clock = std::sync::Arc::new(SystemClock);
    let ledger = Ledger::open(&wallet.home.join("ledger.db"), clock).unwrap();
    let reserve = |n| ledger.reserve_with(purchase(&format!("01{n:024}")), Needs::default());
    // At once: they share commits.
    for reserved in futures::future::join_all((0..COUNT).map(reserve)).await {
        assert!(matches!(reserved.unwrap(), Reserved::Granted { .. }));
    }
    ledger.close().await.unwrap();
    for (more, rows) in [(&[][..], COUNT), (&["-n", "502"], 502), (&["-n", "0"], 0)] {
        let csv = text(&wallet.ok(&[&["history", "--csv"], more].concat()).await);
        let ids: std::collections::BTreeSet<_> =
            csv.lines().skip(1).map(|line| line.split(',').next()).collect();
        assert_eq!((csv.lines().count() - 1, ids.len()), (rows, rows), "{more:?}");
    }
    assert_eq!(wallet.json(&["history"], 0).await["purchases"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn bars_are_drawn_on_a_terminal_alone_and_colours_as_the_environment_says() {
    let world = World::start().await;
    world.wallet.ok(&["fetch", &world.at("/weather/bern")]).await;
    for args in [&["status"][..], &["spending"]] {
        let seen = types(&world.wallet, args, &[]).await;
        assert!(seen.code == 0 && seen.screen.contains('─') || seen.screen.contains('█'), "{}", seen.screen);
        assert!(seen.screen.contains("\u{1b}["), "{}", seen.screen);
    }
    for (name, coloured) in [("CLICOLOR_FORCE", true), ("NO_COLOR", false)] {
        for args in [&["history"][..], &["status"], &["doctor"]] {
            let done = world.wallet.command(args).env(name, "1").output().await.unwrap();
            assert_eq!(text(&done.stdout).contains("\u{1b}["), coloured, "{name} {args:?}");
        }
    }
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong() {
    let chain = local_chain().await;
    let (_folder, wallet) = wallet(&chain).await;
    assert_eq!(wallet.json(&["doctor", "--unlock"], 0).await["healthy"], true);
    let check = |found: &serde_json::Value, name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks
            .iter()
            .filter(|check| check["check"] == name)
            .map(|check| check["status"].clone())
            .collect::<Vec<_>>()
    };
    wallet.policy(
        "version: 1\npayments:\n  max: \"$5\"\n  budgets: [{name: ever, max: \"$100\", per: lifetime}]\n",
    );
    assert_eq!(
        check(&wallet.json(&["doctor"], 0).await, "policy"),
        ["warn"],
        "all of it could go in one day"
    );
    wallet.policy("version: 1\npayments: {maximum: 5}\n");
    assert_eq!(check(&wallet.json(&["doctor"], 2).await, "policy"), ["fail"]);
    wallet.policy(GENEROUS);
    let policy = wallet.home.join("policy.yaml");
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(check(&wallet.json(&["doctor"], 2).await, "files"), ["fail"], "others could change the caps");
    std::fs::set_permissions(&policy, std::fs::Permissions::from_mode(0o600)).unwrap();
    wallet.ok(&["freeze", "stop"]).await;
    assert_eq!(check(&wallet.json(&["doctor"], 0).await, "frozen"), ["warn"]);
    // Another chain behind the address.
    let config = wallet.home.join("config.yaml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("base-sepolia", "base")).unwrap();
    let found = wallet.json(&["doctor"], 3).await;
    assert_eq!(check(&found, "chain"), ["fail"], "{found}");
    std::fs::write(&config, "networkz: {}").unwrap();
    assert_eq!(check(&wallet.json(&["doctor"], 2).await, "config"), ["fail"]);
}

#[tokio::test]
async fn purchases_are_listed_and_added_up_as_asked_for() {
    let world = World::start().await;
    for city in ["a", "b", "c"] {
        world.wallet.ok(&["fetch", &world.at(&format!("/weather/{city}"))]).await;
    }
    let ids = |page: &serde_json::Value| {
        let rows = page["purchases"].as_array().unwrap();
        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = ids(&world.wallet.json(&["history"], 0).await);
    let first = world.wallet.json(&["history", "-n", "2"], 0).await;
    let rest = world.wallet.json(&["history", "--before", first["next"].as_str().unwrap()], 0).await;
    assert_eq!([ids(&first), ids(&rest)].concat(), all);
    assert_eq!((all.len(), &rest["next"]), (3, &serde_json::Value::Null));
    for (args, count) in [
        (&["--host", "127.0.0.1"][..], 3),
        (&["--host", "api.example.com"], 0),
        (&["--since", "1h"], 3),
        (&["--until", "1h"], 0),
        (&["--network", "base"], 0),
        (&["--agent", "nobody"], 0),
    ] {
        let found = world.wallet.json(&[&["history"], args].concat(), 0).await;
        assert_eq!(ids(&found).len(), count, "{args:?}");
    }
    let csv = text(&world.wallet.ok(&["history", "--csv"]).await);
    assert_eq!(csv.lines().count(), 4);
    assert!(csv.lines().nth(1).unwrap().starts_with(&format!("{},", all[0])), "{csv}");
    let spending = world.wallet.json(&["spending", "--by", "host"], 0).await;
    assert_eq!(spending["groups"][0]["name"], "127.0.0.1");
    assert_eq!(
        (&spending["total"]["settled"], &spending["total"]["settled_payments"]),
        (&"$0.006".into(), &3.into())
    );
    let csv = text(&world.wallet.ok(&["spending", "--by", "host", "--csv"]).await);
    assert!(csv.ends_with("127.0.0.1,0.006,3,0.00,0\n"), "{csv}");
    for wrong in ["--since=yesterday", "--until=2x", "--offset=2"] {
        world.wallet.json(&["spending", wrong], 2).await;
    }
}

#[tokio::test]
async fn every_command_has_a_manual_page_and_every_shell_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = Wallet { home: folder.path().join("none"), address: String::new() };
    let pages = folder.path().join("man1");
    nobody.ok(&["man", pages.to_str().unwrap()]).await;
    for page in ["farthing.1", "farthing-send.1", "farthing-wallet-export.1", "farthing-policy-check.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH") && text.contains("NAME"), "{page}");
    }
    assert!(text(&nobody.ok(&["man"]).await).contains(".TH farthing"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(text(&nobody.ok(&["completions", shell]).await).contains("spending"), "{shell}");
    }
}

#[tokio::test]
async fn the_key_is_shown_to_a_person_alone() {
    let chain = local_chain().await;
    let (folder, wallet) = wallet(&chain).await;
    wallet.json(&["wallet", "export"], 2).await;
    let file = folder.path().join("secret");
    let name = file.to_str().unwrap();
    wallet.json(&["wallet", "export", "--to-file", name], 8).await;
    assert!(!file.exists(), "the passphrase in the environment does not count");
    wallet.ok(&["wallet", "export", "--to-file", name, "--unattended"]).await;
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let phrase = std::fs::read_to_string(&file).unwrap();
    assert_eq!(phrase.split_whitespace().count(), 12);
    wallet.json(&["wallet", "export", "--to-file", name, "--unattended"], 2).await;
    let mut bare = wallet.command(&["wallet", "export", "--to-file", "bare", "--unattended"]);
    assert!(bare.current_dir(folder.path()).output().await.unwrap().status.success());
    assert_eq!(std::fs::read_to_string(folder.path().join("bare")).unwrap(), phrase);

    let said = [("Show it? [y/N]", "y"), ("Passphrase of the wallet:", PASSPHRASE)];
    let seen = types(&wallet, &["wallet", "export"], &said).await;
    assert!(seen.code == 0 && seen.screen.contains(phrase.trim()), "it is the same one");
    let said = [("Show it? [y/N]", "y"), ("Passphrase of the wallet:", "wrong")];
    let seen = types(&wallet, &["wallet", "export"], &said).await;
    assert!(seen.code == 8 && !seen.screen.contains(phrase.trim()), "{}", seen.code);

    // What was exported brings the same wallet along.
    let other = Wallet { home: folder.path().join("other"), address: String::new() };
    let mut import = other.command(&["wallet", "import", "phrase", "--yes"]);
    import.stdin(std::fs::File::open(&file).unwrap());
    assert!(import.output().await.unwrap().status.success());
    assert_eq!(other.json(&["address"], 0).await["addresses"][0]["address"], wallet.address);
}

#[tokio::test]
async fn a_new_key_loses_no_money() {
    let chain = local_chain().await;
    let (_folder, wallet) = wallet(&chain).await;
    let ether = "1000000000000000000".parse().unwrap();
    chain.set_eth_balance(wallet.address.parse().unwrap(), ether).await.unwrap();
    // Another passphrase for the same key: the old one opens it no more.
    let rotate = |args: &[&str], new: &'static str| {
        let mut command = wallet.command(&[&["wallet", "rotate", "--unattended", "--json"], args].concat());
        command.env("FARTHING_NEW_PASSPHRASE", new);
        command
    };
    assert!(rotate(&[], "battery staple").output().await.unwrap().status.success());
    wallet.json(&["doctor", "--unlock"], 8).await;
    let mut back = rotate(&[], PASSPHRASE);
    assert!(back.env("FARTHING_PASSPHRASE", "battery staple").output().await.unwrap().status.success());
    wallet.json(&["doctor", "--unlock"], 0).await;

    let done = rotate(&["--new-key"], PASSPHRASE).output().await.unwrap();
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let (new, kept) = (said["address"].as_str().unwrap(), said["old_key_file"].as_str().unwrap());
    assert_eq!(
        (&said["old_address"], &said["old_balances"][0]["value"]),
        (&wallet.address.clone().into(), &"$5.00".into())
    );
    let warned = text(&done.stderr);
    assert!(warned.contains("farthing mcp") && warned.contains("restarted"), "{warned}");
    let next = said["next"][0].as_str().unwrap();
    assert!(next.contains(new) && !next.contains("--beyond-policy"), "the caps allow it: {next}");
    assert_eq!(wallet.json(&["address"], 0).await["addresses"][0]["address"], new);
    wallet.json(&["send", new, "all", "--yes", "--key-file", kept], 0).await;
    assert_eq!(chain.balance_of(new.parse().unwrap()).await.unwrap().to_string(), "5000000");
    assert_eq!(wallet.json(&["balance"], 0).await["balances"][0]["value"], "$5.00");
    wallet.assert_whole().await;

    // Beyond the caps a person has to move it; and the command names the folder that it is for.
    wallet.policy("version: 1\npayments: {max: \"$1\"}\n");
    let home = wallet.home.to_str().unwrap();
    let mut again = rotate(&["--new-key", "--home", home], PASSPHRASE);
    let done = again.env_remove("FARTHING_HOME").output().await.unwrap();
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let next = said["next"][0].as_str().unwrap();
    assert!(next.contains(" --beyond-policy") && next.ends_with(&format!(" --home {home}")), "{next}");
}
