//! Counters: what they admit, what they add, who reads them, when they begin anew, and that nobody gets past them.

use serde_json::json;

use crate::desk::{DAY, Desk, HOUR, MINUTE, await_some};

/// How many of the calls pass.
fn admitted(guard: &mut crate::session::Guard, tool: &str, calls: usize) -> usize {
    (0..calls).filter(|_| guard.call(tool, json!({})).passed()).count()
}

#[test]
fn lte_n_admits_n_and_lt_n_one_less() {
    let desk = Desk::new(
        r#"
version: "1"
tools:
  lte: {rules: [{name: r, conditions: [{path: state.lte.n, op: lte, value: 3}], state: {counter: n, window: hour}}]}
  lt: {rules: [{name: r, conditions: [{path: state.lt.n, op: lt, value: 3}], state: {counter: n, window: hour}}]}
  rate: {rules: [{name: r, rate_limit: 3/hour}]}
  both:
    rules:
      - name: r
        conditions: [{path: state.both.n, op: lte, value: 9}, {path: state.both.n, op: lt, value: 3}]
        state: {counter: n, window: hour}
  lt_one: {rules: [{name: r, conditions: [{path: state.lt_one.n, op: lt, value: 1}], state: {counter: n, window: hour}}]}
"#,
    );
    let mut guard = desk.intercept();
    for (tool, most) in [("lte", 3), ("lt", 2), ("rate", 3), ("both", 2), ("lt_one", 0)] {
        assert_eq!(admitted(&mut guard, tool, 5), most, "{tool}");
    }
}

#[test]
fn a_call_adds_one_or_what_the_rule_says() {
    let desk = Desk::new(
        r#"
version: "1"
tools:
  five:
    rules:
      - name: r
        conditions: [{path: state.five.n, op: lte, value: 12}]
        state: {counter: n, window: hour, increment: 5}
  from:
    rules:
      - name: r
        conditions: [{path: state.from.n, op: lte, value: 12}]
        state: {counter: n, window: hour, increment_from: args.order.count}
"#,
    );
    let mut guard = desk.intercept();
    assert_eq!(admitted(&mut guard, "five", 4), 2, "5 + 5 of 12");
    let mut order = |count: i64| guard.call("from", json!({"order": {"count": count}})).passed();
    assert!(order(7));
    assert!(!order(6), "7 + 6 of 12");
    assert!(order(0));
    assert!(order(5));
    assert!(!order(1));
}

#[test]
fn another_rule_reads_a_counter_and_adds_nothing() {
    let desk = Desk::new(
        r#"
version: "1"
tools:
  send:
    rules:
      - name: count
        conditions: [{path: state.send.n, op: lte, value: 4}]
        state: {counter: n, window: day}
  report:
    rules: [{name: after-two, conditions: [{path: state.send.n, op: gte, value: 2}], on_deny: "Send two first"}]
  "*":
    rules: [{name: pace, rate_limit: 100/day}]
  quiet:
    rules: [{name: calm, conditions: [{path: state._global._rate_day, op: lt, value: 7}], on_deny: "Too much today"}]
"#,
    );
    let mut guard = desk.intercept();
    let early = "[INTERCEPT POLICY DENIED] Send two first";
    assert_eq!(guard.call("report", json!({})).denied(), early);
    assert!(guard.call("send", json!({})).passed());
    assert_eq!(guard.call("report", json!({})).denied(), early);
    assert!(guard.call("send", json!({})).passed());
    assert_eq!(admitted(&mut guard, "report", 3), 3);
    assert_eq!(admitted(&mut guard, "quiet", 4), 2, "five calls of all tools came before");
    assert_eq!(guard.call("quiet", json!({})).denied(), "[INTERCEPT POLICY DENIED] Too much today");
    assert_eq!(admitted(&mut guard, "send", 4), 2, "reading took nothing");
}

#[test]
fn a_rate_limit_counts_its_tool_or_all_of_them() {
    let desk = Desk::new(
        r#"
version: "1"
tools:
  a: {rules: [{name: own, rate_limit: 2/hour, on_deny: own}]}
  b: {rules: [{name: own, rate_limit: 2/hour, on_deny: own}]}
  "*": {rules: [{name: all, rate_limit: 5/hour, on_deny: all}]}
"#,
    );
    let mut guard = desk.intercept();
    assert_eq!(admitted(&mut guard, "a", 3), 2);
    assert_eq!(admitted(&mut guard, "b", 3), 2);
    assert_eq!(admitted(&mut guard, "c", 3), 1, "the fifth");
    assert_eq!(guard.call("c", json!({})).denied(), "[INTERCEPT POLICY DENIED] all");
    assert_eq!(guard.call("d", json!({})).denied(), "[INTERCEPT POLICY DENIED] all");
}

#[test]
fn windows_are_the_calendars_minute_hour_and_day() {
    let mut desk = Desk::new(
        r#"
version: "1"
tools:
  minute: {rules: [{name: r, rate_limit: 1/minute}]}
  hour: {rules: [{name: r, rate_limit: 1/hour}]}
  day: {rules: [{name: r, rate_limit: 1/day}]}
"#,
    );
    for (time, minute, hour, day) in [
        (10 * HOUR, 1, 1, 1),
        (10 * HOUR + 20, 0, 0, 0),
        (10 * HOUR + MINUTE, 1, 0, 0),
        (11 * HOUR, 1, 1, 0),
        (DAY - MINUTE, 1, 1, 0),
        (DAY, 1, 1, 1),
    ] {
        let mut guard = desk.at(time).intercept();
        for (tool, most) in [("minute", minute), ("hour", hour), ("day", day)] {
            assert_eq!(admitted(&mut guard, tool, 2), most, "{tool} at {time} s");
        }
    }
}

#[test]
fn counters_survive_a_killed_guard() {
    let desk = Desk::new("version: \"1\"\ntools: {t: {rules: [{name: r, rate_limit: 3/day}]}}\n");
    let mut guard = desk.intercept();
    assert_eq!(admitted(&mut guard, "t", 2), 2);
    guard.kill();
    let mut guard = desk.intercept();
    assert_eq!(admitted(&mut guard, "t", 2), 1);
    guard.kill();
    assert_eq!(admitted(&mut desk.intercept(), "t", 1), 0);
    desk.assert_whole();
}

#[test]
fn what_reached_the_server_was_taken_before_whenever_the_guard_dies() {
    let desk = Desk::new("version: \"1\"\ntools: {t: {rules: [{name: r, rate_limit: 30/day}]}}\n");
    for least in [3, 15] {
        let mut guard = desk.intercept();
        for _ in 0..20 {
            guard.ask("t", json!({}));
        }
        await_some("calls at the server", || Some(()).filter(|()| desk.called().len() >= least));
        guard.kill();
    }
    let mut guard = desk.intercept();
    while guard.call("t", json!({})).passed() {}
    assert_eq!(guard.close(), 0);
    assert!(desk.called().len() <= 30, "{}", desk.called().len());
    assert_eq!(desk.rows("call").len(), 30);
    desk.assert_whole();
}

#[test]
fn a_shadow_counts_and_lets_pass() {
    let desk =
        Desk::new("version: 1\ntools: {t: {rules: [{name: soon, shadow: true, rate_limit: 1/day}]}}\n");
    let mut guard = desk.guard();
    assert_eq!(admitted(&mut guard, "t", 3), 3);
    let shadowed: Vec<usize> =
        desk.rows("call").iter().map(|row| row["body"]["shadowed"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!(shadowed, [0, 1, 1]);
}

#[test]
fn counters_survive_another_policy_and_a_bad_one_changes_nothing() {
    let limit = |most: u32| {
        format!("version: \"1\"\ntools: {{t: {{rules: [{{name: r, rate_limit: {most}/day}}]}}}}\n")
    };
    let desk = Desk::new(&limit(2));
    let mut guard = desk.intercept();
    assert_eq!(admitted(&mut guard, "t", 3), 2);
    desk.policy(&limit(3));
    guard.hear("another policy is in force");
    assert_eq!(admitted(&mut guard, "t", 3), 1, "two of three were used");
    desk.policy(&limit(9).replace("rate_limit", "rate_limits"));
    let why = guard.hear("the policy before stays in force");
    assert!(why.contains("policy.yaml:2:"), "{why}");
    assert_eq!(admitted(&mut guard, "t", 3), 0);
    desk.policy(&limit(1));
    guard.hear("another policy is in force");
    let words = "[INTERCEPT POLICY DENIED] Rate limit of 1 per day reached. Try again later.";
    assert_eq!(guard.call("t", json!({})).denied(), words);
    assert_eq!(guard.call("t", json!({})).code_and_rule(), ("rate_exceeded", "r"));
    desk.policy(&limit(5));
    guard.hear("another policy is in force");
    assert_eq!(admitted(&mut guard, "t", 3), 2);
    guard.close();
    let kinds: Vec<String> = desk
        .journal()
        .iter()
        .filter_map(|row| row["kind"].as_str().filter(|kind| kind.starts_with("policy_")).map(str::to_owned))
        .collect();
    assert_eq!(kinds, ["policy_loaded", "policy_loaded", "policy_refused", "policy_loaded", "policy_loaded"]);
}

#[test]
fn fifty_calls_at_once_on_a_cap_of_twenty() {
    let desk = Desk::new("version: \"1\"\ntools: {t: {rules: [{name: r, rate_limit: 20/hour}]}}\n");
    let mut guard = desk.intercept();
    let ids: Vec<u64> = (0..50).map(|_| guard.ask("t", json!({}))).collect();
    let answers: Vec<_> = ids.into_iter().map(|id| guard.answer(id)).collect();
    let (passed, denied): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.passed());
    assert_eq!((passed.len(), denied.len()), (20, 30));
    let words = "[INTERCEPT POLICY DENIED] Rate limit of 20 per hour reached. Try again later.";
    assert!(denied.iter().all(|answer| answer.denied() == words));
    assert_eq!(desk.called().len(), 20);
    guard.close();
    desk.assert_whole();
}

#[test]
fn four_processes_share_a_cap_of_a_hundred() {
    let desk = Desk::new("version: \"1\"\ntools: {t: {rules: [{name: r, rate_limit: 100/hour}]}}\n");
    let passed: usize = std::thread::scope(|scope| {
        let client = || {
            let mut guard = desk.intercept();
            let ids: Vec<u64> = (0..60).map(|_| guard.ask("t", json!({}))).collect();
            let passed = ids.into_iter().filter(|id| guard.answer(*id).passed()).count();
            assert_eq!(guard.close(), 0);
            passed
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(passed, 100);
    assert_eq!(desk.called().len(), 100);
    assert_eq!((desk.rows("call").len(), desk.rows("call_denied").len()), (100, 140));
    desk.assert_whole();
}
