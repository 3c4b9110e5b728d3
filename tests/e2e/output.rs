//! What the commands print: one JSON object, whatever happens, and no panic when nobody takes the output. And what they
//! say when a paid call does not come to a good end: first what became of the money, and how to go on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use farthing_protocol::x402::encode_header;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::world::{FARTHING, GENEROUS, Wallet, World};

/// A hash that no row has.
const NOBODYS: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

#[tokio::test]
async fn errors_are_json_too() {
    let world = World::start().await;
    for (args, exit) in [
        (&["nonsense"][..], 2),
        (&["fetch"], 2),
        (&["fetch", "http://127.0.0.1:1/", "--timeout", "0"], 2),
        (&["receipt", ""], 2),
        (&["receipt", "ZZZZZZZZ"], 2),
        (&["fund", "--network", "mars"], 2),
        (&["ledger", "verify", "--expect-head", NOBODYS], 9),
        (&["ledger", "verify", "--expect-head", "zz"], 2),
        (&["audit", "verify", "--expect-head", "00"], 2),
        (&["ledger", "verify", "--file", "/etc/passwd"], 2),
        (&["audit", "tail", "--file", "/dev/null"], 2),
        (&["ledger", "verify", "--file", "/nowhere"], 2),
        (&["receipt", "ZZZZZZZZ", "-o", "page"], 2),
    ] {
        let answer = world.wallet.json(args, exit).await;
        assert_eq!(answer["error"]["exit"], exit, "{args:?}: {answer}");
    }
    let damaged = world.wallet.json(&["ledger", "verify", "--expect-head", NOBODYS], 9).await;
    assert_eq!(damaged["whole"], false, "the error stands beside the result: {damaged}");
    let mut nowhere = world.wallet.command(&["status", "--json"]);
    let done = nowhere.env("FARTHING_HOME", "").output().await.unwrap();
    let said: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert!(said["error"]["message"].as_str().unwrap().contains("FARTHING_HOME"), "{said}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_before_paying() {
    let world = World::start().await;
    let folder = world.wallet.home.to_str().unwrap().to_owned();
    let nowhere = format!("{folder}/no/such/folder");
    for file in [folder, nowhere] {
        world.wallet.json(&["fetch", &world.at("/weather/berlin"), "-o", &file], 2).await;
    }
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn a_checked_gateway_can_start() {
    let world = World::start().await;
    let file = world.wallet.home.join("gateway.yaml");
    let payee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let text = format!(
        "upstream: ftp://127.0.0.1\npay_to: \"{payee}\"\naccepts: [base-sepolia]\n\
         facilitator: {{url: \"https://facilitator.example.com\"}}\n\
         routes: [{{match: \"GET /a\", price: \"$1\"}}]\n"
    );
    std::fs::write(&file, text).unwrap();
    let answer = world.wallet.json(&["gateway", "--check", "-c", file.to_str().unwrap()], 2).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("gateway.yaml:1:11"), "{answer}");
}

#[cfg(target_os = "linux")]
async fn write_to(world: &World, args: &[&str], stdout: Stdio) -> std::process::Output {
    let mut command = world.wallet.command(args);
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    let world = World::start().await;
    let url = world.at("/weather/berlin");
    for args in [&["fetch", &url][..], &["history"], &["history", "--json"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = write_to(&world, args, full.into()).await;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("could not be written"), "{args:?}: {said}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = write_to(&world, args, writer.into()).await;
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let purchases: Value = world.wallet.json(&["history"], 0).await;
    assert!(purchases["purchases"].as_array().unwrap().iter().all(|purchase| purchase["state"] == "paid"));
}

/// A wallet on a chain that is silent, and a seller who settles nothing and says what he likes.
struct Stall {
    folder: tempfile::TempDir,
    wallet: Wallet,
    url: String,
}

impl Stall {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet { home: folder.path().join("wallet"), address: String::new() };
        wallet.ok(&["init", "--yes"]).await;
        wallet.policy(GENEROUS);
        let stall = Self { folder, url: sell(&wallet.home).await, wallet };
        stall.configure("");
        stall
    }

    /// config.yaml with a further line.
    fn configure(&self, line: &str) {
        let config =
            format!("version: 1\nnetworks: {{base-sepolia: {{rpc: [\"http://127.0.0.1:9\"]}}}}\n{line}\n");
        std::fs::write(self.wallet.home.join("config.yaml"), config).unwrap();
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Calls with `--json`; returns the answer with the error's message and hint.
    async fn fails(&self, args: &[&str], code: i32) -> (Value, String, String) {
        let answer = self.wallet.json(args, code).await;
        let text = |key: &str| answer["error"][key].as_str().unwrap_or_default().to_owned();
        let (message, hint) = (text("message"), text("hint"));
        (answer, message, hint)
    }

    /// Calls with stdout on a full disk; returns the exit code and what stands on stderr.
    async fn with_full_stdout(&self, args: &[&str]) -> (i32, String) {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = self.wallet.command(args);
        let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let done = child.wait_with_output().await.unwrap();
        (done.status.code().unwrap(), String::from_utf8(done.stderr).unwrap())
    }
}

async fn sell(home: &Path) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(home.to_owned());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn answer(State(home): State<PathBuf>, uri: Uri, headers: HeaderMap) -> Response {
    if let Some(status) = uri.path().strip_prefix("/status/") {
        let status = StatusCode::from_u16(status.parse().unwrap()).unwrap();
        return (status, [("location", "/elsewhere")], "").into_response();
    }
    if !headers.contains_key("payment-signature") {
        let offer = json!({"scheme": "exact", "network": "eip155:84532", "amount": "2000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", "maxTimeoutSeconds": 60,
            "extra": {"name": "USDC", "version": "2"}});
        let asked = json!({"x402Version": 2, "resource": {"url": "http://127.0.0.1/"}, "accepts": [offer]});
        return (StatusCode::PAYMENT_REQUIRED, word("payment-required", &asked), "{}").into_response();
    }
    let settled = json!({"success": true, "transaction": "0xabc", "network": "eip155:84532"});
    let settled = || word("payment-response", &settled);
    match uri.path() {
        "/pending" => {
            let pending = json!({"success": false, "errorReason": "settlement_pending",
                "transaction": "0xfee1", "network": "eip155:84532"});
            let status = StatusCode::GATEWAY_TIMEOUT;
            (status, word("payment-response", &pending), "later").into_response()
        }
        "/silent" => "goods".into_response(),
        "/silent/cut" => half().into_response(),
        "/cut" => (settled(), half()).into_response(),
        "/error" => (StatusCode::INTERNAL_SERVER_ERROR, settled(), "sorry").into_response(),
        "/unkept" => {
            // Where the folder was is a file.
            std::fs::remove_dir_all(home.join("bodies")).unwrap();
            std::fs::write(home.join("bodies"), "").unwrap();
            (settled(), "goods").into_response()
        }
        _ => (settled(), "goods\u{7f}").into_response(),
    }
}

fn word(name: &'static str, value: &Value) -> [(&'static str, String); 1] {
    [(name, encode_header(value).unwrap())]
}

/// A body that breaks off, after what came before has left.
fn half() -> Body {
    let breaks = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err("broken")
    };
    Body::from_stream(futures::stream::iter([Ok("half")]).chain(futures::stream::once(breaks)))
}

#[tokio::test]
async fn an_open_payment_says_how_to_get_what_it_is_for() {
    let stall = Stall::open().await;
    let (answer, message, hint) = stall.fails(&["fetch", &stall.at("/pending"), "--timeout", "7"], 6).await;
    assert!(message.contains("pending") && message.contains("0xfee1"), "{message}");
    assert!(!message.contains("did not settle"), "{message}");
    let id = answer["payment"]["purchase"].as_str().unwrap();
    assert!(hint.starts_with(&format!("`farthing fetch --resume {id} --timeout 7` asks")), "{hint}");
    assert!(hint.contains("`farthing reconcile`") && hint.contains("could still settle until"), "{hint}");

    // A day later it could not.
    let mut later = stall.wallet.command(&["fetch", "--resume", id, "--json"]);
    let done = later.env("FARTHING_CLOCK_AHEAD", "86400").output().await.unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(6), "{said}");
    assert!(said.contains("stays reserved") && !said.contains("could still settle"), "{said}");
}

#[tokio::test]
async fn an_open_payment_does_not_hide_that_the_body_broke_off() {
    let stall = Stall::open().await;
    let (answer, message, hint) = stall.fails(&["fetch", &stall.at("/silent/cut")], 6).await;
    assert!(message.contains("not whole"), "{message}");
    assert!(hint.contains("--resume"), "{hint}");
    assert_eq!((&answer["body"]["text"], answer["cut_off"].is_string()), (&json!("half"), true));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_became_of_the_money_is_said_also_when_the_body_cannot_be_written() {
    let stall = Stall::open().await;
    for (path, code, word) in [("/silent", 6, "did not say whether"), ("/paid", 1, "the call is paid")] {
        let (answer, message, hint) = stall.fails(&["fetch", &stall.at(path), "-o", "/dev/full"], code).await;
        assert!(message.contains(word) && message.contains("could not be written"), "{path}: {message}");
        assert!(hint.contains("receipt") && hint.contains("--body"), "{path}: {hint}");
        assert!(answer["payment"]["purchase"].is_string());

        for args in [&["fetch", &stall.at(path), "--json"][..], &["fetch", &stall.at(path)]] {
            let (exit, said) = stall.with_full_stdout(args).await;
            assert_eq!(exit, code, "{args:?}: {said}");
            assert!(said.contains(word) && said.contains("could not be written"), "{args:?}: {said}");
            assert!(said.contains("receipt") || said.contains("--resume"), "{args:?}: {said}");
        }
    }
    let (exit, said) = stall.with_full_stdout(&["receipt", "ZZZZZZZZ", "--json"]).await;
    assert!(exit == 2 && said.contains("no purchase `ZZZZZZZZ`"), "{exit}: {said}");
}

#[tokio::test]
async fn every_error_after_a_payment_names_the_purchase() {
    let stall = Stall::open().await;
    stall.wallet.ok(&["fetch", &stall.at("/paid")]).await;
    let (answer, _, hint) = stall.fails(&["fetch", &stall.at("/unkept")], 1).await;
    let newest = stall.wallet.newest().await;
    assert_eq!(newest["state"], "paid");
    assert_eq!(answer["payment"]["purchase"], newest["id"], "{answer}");
    assert!(hint.contains(newest["id"].as_str().unwrap()), "{hint}");
}

#[tokio::test]
async fn a_body_comes_through_json_to_the_byte() {
    let stall = Stall::open().await;
    let answer = stall.wallet.json(&["fetch", &stall.at("/paid")], 0).await;
    assert_eq!(answer["body"]["text"], "goods\u{7f}");
    let id = answer["payment"]["purchase"].as_str().unwrap();
    let again = stall.wallet.json(&["receipt", id, "--body"], 0).await;
    assert_eq!((&again["body"], &again["status"]), (&answer["body"], &json!(200)));
    assert_eq!(again["purchase"], id);
    let file = stall.folder.path().join("body");
    let name = file.to_str().unwrap();
    let written = stall.wallet.json(&["receipt", id, "--body", "-o", name], 0).await;
    assert_eq!(
        (&written["body"], std::fs::read(&file).unwrap()),
        (&json!({"file": name}), b"goods\x7f".to_vec())
    );
    std::fs::remove_file(&file).unwrap();
    let printed = stall.wallet.ok(&["receipt", id, "--body", "-o", name]).await;
    assert_eq!((printed, std::fs::read(&file).unwrap()), (Vec::new(), b"goods\x7f".to_vec()));
}

#[tokio::test]
async fn a_receipt_names_the_address_whole() {
    let stall = Stall::open().await;
    let url = stall.at(&format!("/paid?q={}", "x".repeat(400)));
    stall.wallet.ok(&["fetch", &url]).await;
    let id = stall.wallet.newest().await["id"].as_str().unwrap().to_owned();
    for args in [&["receipt", &id][..], &["history"]] {
        let said = String::from_utf8(stall.wallet.ok(args).await).unwrap();
        assert!(said.contains(&url), "{args:?}: {said}");
    }
}

#[tokio::test]
async fn a_receipt_does_not_pass_a_part_or_an_error_off_as_the_goods() {
    let stall = Stall::open().await;
    let (answer, ..) = stall.fails(&["fetch", &stall.at("/cut")], 1).await;
    let id = answer["payment"]["purchase"].as_str().unwrap();
    let done = stall.wallet.run(&["receipt", id, "--body"]).await;
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(1), &b"half"[..]));
    assert!(said.contains("not the whole body") && said.contains(&format!("--resume {id}")), "{said}");
    let (again, ..) = stall.fails(&["receipt", id, "--body"], 1).await;
    assert_eq!(again["body"]["text"], "half");

    let (answer, ..) = stall.fails(&["fetch", &stall.at("/error")], 7).await;
    let id = answer["payment"]["purchase"].as_str().unwrap();
    let done = stall.wallet.run(&["receipt", id, "--body"]).await;
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(0), &b"sorry"[..]));
    assert!(said.contains("warning") && said.contains("500"), "{said}");
}

#[tokio::test]
async fn a_body_that_is_too_long_says_what_to_raise() {
    let stall = Stall::open().await;
    stall.configure("max_body_bytes: 3");
    let (answer, _, hint) = stall.fails(&["fetch", &stall.at("/paid")], 1).await;
    assert!(
        hint.starts_with("raise `max_body_bytes` in config.yaml, then `farthing fetch --resume"),
        "{hint}"
    );
    stall.configure("");
    let id = answer["payment"]["purchase"].as_str().unwrap();
    let whole = stall.wallet.json(&["fetch", "--resume", id], 0).await;
    assert_eq!(whole["body"]["text"], "goods\u{7f}");
}

/// After a payment nothing may panic.
#[tokio::test]
async fn a_path_need_not_be_text() {
    let stall = Stall::open().await;
    let file = stall.folder.path().join(OsStr::from_bytes(b"got-\xff"));
    let mut command = stall.wallet.command(&["fetch", &stall.at("/paid"), "--json", "-o"]);
    let done = command.arg(&file).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read(&file).unwrap(), b"goods\x7f");
    for args in [&["init", "--yes", "--json"][..], &["config", "show", "--json"]] {
        let mut command = stall.wallet.command(args);
        let home = stall.folder.path().join(OsStr::from_bytes(b"home-\xff"));
        let done = command.env("FARTHING_HOME", home).output().await.unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<Value>(&done.stdout).unwrap();
    }
}

#[tokio::test]
async fn only_what_was_served_is_called_free() {
    let stall = Stall::open().await;
    for (status, code) in [(200, 0), (301, 0), (404, 7), (500, 7)] {
        let url = stall.at(&format!("/status/{status}"));
        let answer = stall.wallet.json(&["check", &url], code).await;
        assert_eq!((&answer["priced"], &answer["status"]), (&json!(false), &json!(status)));
        let done = stall.wallet.run(&["check", &url]).await;
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert_eq!(said.contains("free"), status == 200, "{said}");
        assert!(said.contains(&status.to_string()), "{said}");
    }
}

/// The key comes last: a file that cannot be written after it would take the phrase along.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_init_that_fails_leaves_no_key_that_nobody_knows() {
    let folder = tempfile::tempdir().unwrap();
    // No file may be longer than a KiB: the key file is shorter, policy.yaml is longer.
    let limited = format!("trap '' XFSZ; ulimit -f 1; exec {FARTHING} init --yes");
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", &limited]).env("FARTHING_HOME", folder.path()).env("FARTHING_PASSPHRASE", "x");
    let done = command.output().await.unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(!done.status.success() && said.contains("policy.yaml"), "{said}");
    assert!(!folder.path().join("keys.json").exists());
}
