//! The commands around the policy and the record, as somebody types them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::desk::{Desk, FARTHING, server};
use crate::session::Guard;

const POLICY: &str = r#"version: 1
payments:
  max: "$0.10"
  budgets: [{name: day, max: "$5.00", per: 24 hours}]
tools:
  pay:
    rules:
      - {name: small, conditions: [{path: args.n, op: lte, value: 5}]}
      - {name: pace, rate_limit: 2/hour}
audit: {arguments: redacted, redact: [args.secret]}
"#;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_policy_is_checked_explained_and_bounded() {
    let desk = Desk::new(POLICY);
    let file = desk.policy_file();
    let file = file.to_str().unwrap();
    let checked = parsed(&desk.ok(&["policy", "check", file, "--json"]));
    assert_eq!((&checked["valid"], checked["warnings"].as_array().unwrap().len()), (&json!(true), 0));
    let words = desk.ok(&["policy", "explain", "-c", file]);
    assert!(
        words.contains("pay: `small`: args.n lte 5.") && words.contains("Each payment: at most $0.10."),
        "{words}"
    );
    desk.policy(&POLICY.replace("rules:\n", "rulez:\n"));
    let wrong = desk.run(&["policy", "check", file]);
    assert!(wrong.code == 2 && wrong.stderr.contains("policy.yaml:7:5: the key `rulez`"), "{}", wrong.stderr);
    desk.policy(POLICY);
    let within = desk.ok(&["policy", "bound", file, "--per", "day", "--most", "$5"]);
    assert!(within.contains("at most $5.00"), "{within}");
    let beyond = desk.run(&["policy", "bound", file, "--per", "week", "--most", "$30", "--json"]);
    let bound = parsed(&beyond.stdout);
    assert_eq!((beyond.code, &bound["bounds"][0]["most"]), (4, &json!("$35.00")), "{bound}");
    assert_eq!(bound["error"]["code"], "refused");
}

#[test]
fn a_call_is_explained_with_what_its_counters_hold() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--name", "bank"]);
    assert!(guard.call("pay", json!({"n": 1})).passed());
    guard.close();
    let file = desk.policy_file();
    let explain = |arguments: &str| {
        let args =
            ["policy", "explain", "-c", file.to_str().unwrap(), "--tool", "pay", "--arguments", arguments];
        parsed(&desk.ok(&[&args[..], &["--server", "bank", "--json"]].concat()))
    };
    let allowed = explain(r#"{"n": 5}"#);
    assert_eq!(allowed["allowed"], true);
    let counts = allowed["rules"][1]["parts"][0]["text"].as_str().unwrap();
    assert!(counts.contains("it stands at 1"), "{allowed}");
    let denied = explain(r#"{"n": 6}"#);
    assert_eq!((&denied["allowed"], &denied["denial"]["rule"]), (&json!(false), &json!("small")));
    let payee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let paid = |amount: &str| {
        let args = ["policy", "explain", "-c", file.to_str().unwrap(), "--pay", "https://api.example.com/x"];
        parsed(&desk.ok(&[&args[..], &["--amount", amount, "--payee", payee, "--json"]].concat()))
    };
    assert_eq!(paid("$0.11")["denial"]["rule"], "payments.max");
    assert_eq!(paid("$0.10")["limits"][0]["remaining"], "$5.00 of $5.00");
}

#[test]
fn the_past_is_decided_again_by_another_policy() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--name", "bank"]);
    for n in [1, 2, 9] {
        guard.call("pay", json!({"n": n, "secret": "hush"}));
    }
    guard.close();
    let stricter = desk.path("stricter.yaml");
    std::fs::write(&stricter, POLICY.replace("value: 5", "value: 1").replace("2/hour", "9/hour")).unwrap();
    let again = parsed(&desk.ok(&["policy", "simulate", stricter.to_str().unwrap(), "--json"]));
    assert_eq!((&again["replayed"], &again["allowed"], &again["denied"]), (&json!(3), &json!(1), &json!(2)));
    assert_eq!(again["changed"].as_array().unwrap().len(), 1, "{again}");
    assert_eq!(again["changed"][0]["denial"]["rule"], "small");
    let calls = desk.path("calls.jsonl");
    let line = |minute: u32| {
        format!("{{\"at\":\"2026-01-01T10:{minute:02}:00Z\",\"tool\":\"pay\",\"arguments\":{{\"n\":1}}}}\n")
    };
    std::fs::write(&calls, (0..4).map(|n| line(n * 15)).collect::<String>()).unwrap();
    let file = desk.policy_file();
    let args = ["policy", "simulate", file.to_str().unwrap(), "--calls", calls.to_str().unwrap(), "--json"];
    let replayed = parsed(&desk.ok(&args));
    assert_eq!(
        (&replayed["allowed"], &replayed["denied"]),
        (&json!(2), &json!(2)),
        "two an hour: {replayed}"
    );
    std::fs::write(&calls, "{\"tool\":1}\n").unwrap();
    assert!(desk.run(&args).stdout.contains("calls.jsonl:1:"));
}

#[test]
fn policies_are_brought_along_and_ready_ones_printed() {
    let desk = Desk::new("version: \"1\"\n# ours\ntools: {a: {rules: [{name: r, rate_limit: 5/hour}]}}\n");
    let (file, new) = (desk.policy_file(), desk.path("new.yaml"));
    desk.ok(&["policy", "import", "intercept", file.to_str().unwrap(), "-o", new.to_str().unwrap()]);
    let text = std::fs::read_to_string(&new).unwrap();
    assert!(text.contains("# ours") && text.contains("24 hours"), "{text}");
    desk.ok(&["policy", "check", new.to_str().unwrap()]);
    let twice =
        desk.run(&["policy", "import", "intercept", file.to_str().unwrap(), "-o", new.to_str().unwrap()]);
    assert_eq!(twice.code, 2, "nothing is written over");
    for name in ["research-agent", "coding-agent", "team"] {
        std::fs::write(&new, desk.ok(&["policy", "example", name])).unwrap();
        desk.ok(&["policy", "check", new.to_str().unwrap()]);
    }
    assert!(desk.run(&["policy", "example", "nobody"]).stderr.contains("research-agent"));
}

#[test]
fn a_servers_tools_become_a_policy() {
    let desk = Desk::new(POLICY);
    let (new, program) = (desk.path("scanned.yaml"), server());
    let scan = |args: &[&str]| {
        let mut command = desk.command(&["guard", "scan"]);
        command.args(args).arg("--").arg(&program).env("RECORD", desk.path("record")).output().unwrap()
    };
    let scanned = scan(&["-o", new.to_str().unwrap()]);
    assert!(scanned.status.success(), "{}", String::from_utf8_lossy(&scanned.stderr));
    let text = std::fs::read_to_string(&new).unwrap();
    assert!(text.starts_with("# The ") && text.contains(": {rules: []}"), "{text}");
    desk.ok(&["policy", "check", new.to_str().unwrap()]);
    assert!(!scan(&["-o", new.to_str().unwrap()]).status.success(), "nothing is written over");
    let absent = desk.run(&["guard", "scan", "--", "/nowhere/server"]);
    assert!(absent.code == 3 && absent.stderr.contains("/nowhere/server"), "{}", absent.stderr);
}

#[test]
fn the_guard_stands_before_a_server_over_http() {
    let desk = Desk::new(POLICY);
    let (url, heard) = http(|request| match request.split_once("\r\n\r\n") {
        Some((_, body)) if body.contains("\"id\"") => {
            let id = parsed(body)["id"].clone();
            json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}).to_string()
        }
        _ => String::new(),
    });
    let file = desk.policy_file();
    let header = "Authorization: Bearer s3cret";
    let mut guard = Guard::start(desk.command(&[
        "guard",
        "-c",
        file.to_str().unwrap(),
        "--upstream",
        &url,
        "--header",
        header,
    ]));
    assert!(guard.call("pay", json!({"n": 1})).passed());
    assert_eq!(guard.call("pay", json!({"n": 6})).code_and_rule(), ("condition_failed", "small"));
    assert_eq!(guard.close(), 0);
    let seen: Vec<String> = heard.try_iter().filter(|request| request.contains("tools/call")).collect();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].to_ascii_lowercase().contains("authorization: bearer s3cret"), "{}", seen[0]);
    let open = desk.run(&[
        "guard",
        "-c",
        file.to_str().unwrap(),
        "--transport",
        "http",
        "--bind",
        "0.0.0.0",
        "--upstream",
        &url,
    ]);
    assert!(open.code == 2 && open.stderr.contains("--token-env"), "{}", open.stderr);
}

#[test]
fn the_record_goes_to_a_collector() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard_with(&["--name", "bank"]);
    guard.call("pay", json!({"n": 1, "secret": "hush"}));
    guard.call("pay", json!({"n": 6}));
    guard.close();
    let (url, heard) = http(|_| "{}".to_owned());
    let sent = parsed(&desk.ok(&[
        "audit",
        "export",
        "--format",
        "otlp",
        "--to",
        &format!("{url}/v1/logs"),
        "--json",
    ]));
    let request = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /v1/logs ") && head.contains("application/json"), "{head}");
    let records = &parsed(body)["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    assert_eq!(records.as_array().unwrap().len(), sent["sent"].as_u64().unwrap() as usize);
    assert!(body.contains("[redacted]") && !body.contains("hush"), "{body}");
    assert!(records.as_array().unwrap().iter().any(|record| record["severityText"] == "WARN"), "{records}");
    let tail = desk.ok(&["audit", "tail", "-n", "1"]);
    assert!(tail.lines().count() == 1 && tail.contains("call_denied") && tail.contains("bank/pay"), "{tail}");
    assert!(desk.ok(&["audit", "verify"]).starts_with("whole"));
    let exported = desk.ok(&["audit", "export", "--after", "1"]);
    assert!(exported.lines().all(|line| parsed(line)["seq"].as_i64().unwrap() > 1));
}

#[test]
fn a_webhook_tells_what_waits() {
    let desk = Desk::new("version: 1\ntools: {pay: {rules: [{name: big, action: require_approval}]}}\n");
    let (url, heard) = http(|_| String::new());
    std::fs::set_permissions(desk.home(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let config = format!("version: 1\napprovals: {{webhook: \"{url}/hook\", secret_env: HOOK_SECRET}}\n");
    std::fs::write(desk.home().join("config.yaml"), config).unwrap();
    let file = desk.policy_file();
    let program = server();
    let mut command = desk.command(&["guard", "-c", file.to_str().unwrap(), "--", program.to_str().unwrap()]);
    command.env("RECORD", desk.path("record")).env("HOOK_SECRET", "sesame");
    let mut guard = Guard::start(command);
    let answer = guard.call("pay", json!({"n": 1}));
    let request = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(parsed(body)["id"], answer.denial()["approval"]["id"]);
    assert!(parsed(body)["terms"].as_str().unwrap().contains("\"tool\":\"pay\""), "{body}");
    let signature = head.lines().find_map(|line| line.strip_prefix("farthing-signature: ")).unwrap();
    let (time, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert!(time.parse::<u64>().is_ok() && mac.len() == 64, "{signature}");
    assert!(!body.contains("sesame") && !head.contains("sesame"));
    guard.call("pay", json!({"n": 1}));
    guard.close();
    let unset = desk.run(&["guard", "-c", file.to_str().unwrap(), "--", program.to_str().unwrap()]);
    assert!(unset.stderr.contains("HOOK_SECRET"), "{}", unset.stderr);
}

#[test]
fn help_has_examples() {
    for command in [
        &["guard"][..],
        &["guard", "scan"],
        &["policy", "explain"],
        &["policy", "simulate"],
        &["policy", "bound"],
        &["freeze"],
        &["audit", "tail"],
        &["audit", "export"],
        &["policy", "check"],
    ] {
        let help = std::process::Command::new(FARTHING).args(command).arg("--help").output().unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success(), "{command:?}");
        assert!(
            command == ["guard", "scan"] || text.contains("Example") || text.contains("farthing"),
            "{command:?}: {text}"
        );
    }
}

/// A small HTTP server: answers with what `answer` makes of a request, and tells of each.
fn http(answer: impl Fn(&str) -> String + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Some((mut stream, request)) = read(stream) else { continue };
            let body = answer(&request);
            let status = if body.is_empty() { "202 Accepted" } else { "200 OK" };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
            );
            // Before the answer, after which it counts as heard.
            if tell.send(request).is_err() {
                return;
            }
            // Whoever has heard enough may have gone.
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    (url, heard)
}

/// One request, head and body.
fn read(mut stream: TcpStream) -> Option<(TcpStream, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some((stream, text));
            }
        }
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
