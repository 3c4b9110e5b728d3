//! Intercept's holes in messages: what the policy saw was not what the server got.

use serde_json::{Value, json};

use crate::desk::Desk;

const POLICY: &str = r#"
version: 1
hide: [purge_ledger]
audit: {arguments: redacted}
tools:
  void_account: {rules: [{name: never, action: deny}]}
  send_payment: {rules: [{name: range, conditions: [{path: args.cents, op: lte, value: 100}]}]}
  counted: {rules: [{name: two, rate_limit: 2/hour}]}
"#;

#[test]
fn hole_a_batch_skips_the_policy() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard.send(
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"void_account"}},
            {"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"send_payment","arguments":{"cents":5}}},
            {"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"send_payment","arguments":{"cents":500}}},
            {"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"purge_ledger","arguments":{}}},
            {"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"look_up","Name":"void_account"}},
            {"jsonrpc":"2.0","method":"notifications/x"}]"#
            .replace('\n', " ")
            .as_str(),
    );
    assert_eq!(guard.answer(1).code_and_rule().1, "never");
    assert!(guard.answer(2).passed());
    assert_eq!(guard.answer(3).code_and_rule().1, "range");
    assert_eq!(guard.answer(4).code_and_rule().0, "tool_hidden");
    assert_eq!(guard.answer(5).error_code(), -32602);
    assert_eq!(desk.called(), ["send_payment"]);
}

#[test]
fn hole_a_batch_gets_past_a_counter() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    let member = |id: u32| {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"counted"}}}}"#)
    };
    let members: Vec<String> = (1..=5).map(member).collect();
    guard.send(&format!("[{}]", members.join(",")));
    let passed = (1..=5).filter(|id| guard.answer(*id).passed()).count();
    assert_eq!((passed, desk.called().len()), (2, 2));
}

/// Messages that two readers read differently, and whether their id can be believed.
#[rustfmt::skip]
const TWOFOLD: &[(&str, bool)] = &[
        (r#"{"jsonrpc":"2.0","id":"ID","method":"ping","Method":"tools/call","params":{"name":"void_account"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":"ID","METHOD":"tools/call","method":"ping","params":{"name":"void_account"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"look_up"},"Params":{"name":"void_account"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"look_up","Name":"void_account"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"NAME":"void_account","name":"look_up"}}"#, true),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"send_payment","arguments":{"cents":1},"Arguments":{"cents":999}}}"#, true),
        // Go folds the long s and the Kelvin sign too.
        ("{\"jsonrpc\":\"2.0\",\"id\":\"ID\",\"method\":\"tools/call\",\"params\":{\"name\":\"look_up\"},\"param\u{17f}\":{\"name\":\"void_account\"}}", true),
        ("{\"jsonrpc\":\"2.0\",\"id\":\"ID\",\"method\":\"tools/call\",\"params\":{\"name\":\"send_payment\",\"arguments\":{\"cents\":1},\"argument\\u017f\":{\"cents\":999}}}", true),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"ping","method":"tools/call","params":{"name":"void_account"}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"look_up","name":"void_account"}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"look_up","n\u0061me":"void_account"}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"send_payment","arguments":{"cents":1},"arguments":{"cents":999}}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"send_payment","arguments":{"cents":1,"cents":999}}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","method":"tools/call","params":{"name":"send_payment","arguments":{"cents":1,"deep":[{"a":1,"a":2}]}}}"#, false),
        (r#"{"jsonrpc":"2.0","id":"ID","id":"other","method":"tools/call","params":{"name":"look_up"}}"#, false),
    ];

#[test]
fn hole_a_case_variant_or_a_duplicate_shows_the_server_another_call() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    for (number, (line, believed)) in TWOFOLD.iter().enumerate() {
        let own = format!("r{number}");
        guard.send(&line.replace("ID", &own));
        let answer = guard.answer(if *believed { json!(own) } else { Value::Null });
        assert!([-32700, -32600, -32602].contains(&answer.error_code()), "{line}: {answer:?}");
    }
    assert!(guard.call("look_up", json!({})).passed(), "the session goes on");
    assert_eq!(desk.called(), ["look_up"]);
    assert_eq!(desk.forwarded().len(), 1, "{:?}", desk.forwarded());
}

#[test]
fn what_is_no_strict_json_is_refused() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"send_payment","arguments":{arguments}}}}}"#
        )
    };
    let deep = format!("{{\"cents\":1,\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let mut lines: Vec<String> = [
        "{\"cents\":01}",
        "{\"cents\":+1}",
        "{\"cents\":.5}",
        "{\"cents\":0x1}",
        "{\"cents\":NaN}",
        "{\"cents\":1,}",
        "{'cents':1}",
        "{\"cents\":1 /* a comment */}",
        "{\"x\":\"\\ud800\"}",
        "{\"x\":\"\\x41\"}",
        "{\"x\":\"\t\"}",
        &deep,
    ]
    .into_iter()
    .map(call)
    .collect();
    lines.push(format!("{} {}", call("{\"cents\":1}"), call("{\"cents\":1}")));
    lines.push(format!("\u{feff}{}", call("{\"cents\":1}")));
    lines.push("tools/call".to_owned());
    lines.push("[]".to_owned());
    for line in &lines {
        guard.send(line);
        let shown: String = line.chars().take(200).collect();
        assert!([-32700, -32600].contains(&guard.answer(Value::Null).error_code()), "{shown}");
    }
    guard.send_bytes(
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\xff\"}}",
    );
    assert_eq!(guard.answer(Value::Null).error_code(), -32700, "it is no UTF-8");
    assert_eq!(desk.forwarded(), [""; 0]);
}

#[test]
fn hidden_tools_are_not_listed_in_a_batch_either() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    guard
        .send(r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"},{"jsonrpc":"2.0","id":2,"method":"ping"}]"#);
    let list = guard.answer(1).0["result"]["tools"].to_string();
    assert!(list.contains("look_up") && !list.contains("purge_ledger"), "{list}");
    guard.answer(2);
}

#[test]
fn what_was_evaluated_is_what_is_forwarded() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    let denied = r#" { "params" : { "name" : "void\u005faccount" } , "method" : "tools\/c\u0061ll", "id": 1 , "jsonrpc":"2.0" } "#;
    guard.send(denied);
    assert_eq!(guard.answer(1).code_and_rule().1, "never", "another spelling of the same");
    let arguments = r#" {"c\u0065nts": 1.0e1, "big":9007199254740993, "text":"\u00fc \" \\ \u2028 \ud83d\ude00", "Other":"x", "list":[1, 2.50,null] } "#;
    guard.send(&format!(
        r#"{{"jsonrpc":"2.0", "id":2,	"method":"tools/call","params":{{"arguments":{arguments},"name":"send_payment","_meta":{{"k":1}}}}}}"#
    ));
    assert!(guard.answer(2).passed());
    guard.close();
    let [line] = &desk.forwarded()[..] else { panic!("{:?}", desk.forwarded()) };
    for number in ["1.0e1", "9007199254740993", "2.50"] {
        assert!(line.contains(number), "numbers keep their digits: {line}");
    }
    let sent: Value = serde_json::from_str(line).unwrap();
    assert_eq!(sent["params"]["name"], "send_payment");
    assert_eq!(sent["params"]["_meta"]["k"], 1);
    // The record holds what the policy saw: the very bytes that the server got.
    let rows = desk.rows("call");
    let seen = rows[0]["body"]["arguments"].as_str().unwrap();
    assert!(line.contains(&format!("\"arguments\":{seen}")), "{seen}\n{line}");
}

#[test]
fn hole_arguments_that_are_no_object_are_forwarded_unevaluated() {
    let desk = Desk::new(POLICY);
    let mut guard = desk.guard();
    for (number, arguments) in ["[]", "[{\"cents\":1}]", "null", "\"cents\"", "5", "true"].iter().enumerate()
    {
        guard.send(&format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"look_up","arguments":{arguments}}}}}"#
        ));
        assert_eq!(guard.answer(number).error_code(), -32602, "{arguments}");
    }
    for (number, params) in ["[]", "null", "[\"look_up\"]", "{}", "{\"name\":5}"].iter().enumerate() {
        let id = number + 100;
        guard.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#));
        assert_eq!(guard.answer(id).error_code(), -32602, "{params}");
    }
    guard.send(r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"look_up"}}"#);
    assert_eq!(guard.answer(Value::Null).error_code(), -32600, "a call without an id would have no answer");
    guard.send(r#"{"jsonrpc":"2.0","id":200,"method":"tools/call","params":{"name":"look_up"}}"#);
    assert!(guard.answer(200).passed(), "arguments may be left out");
    assert_eq!(desk.called(), ["look_up"]);
}
