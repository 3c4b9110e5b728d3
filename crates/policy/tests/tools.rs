//! The `tools:` section: decisions, counters, and what is refused at load time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::result_large_err,
    reason = "a test fails by panicking; a Denial is rare, and its fields are read"
)]

use std::collections::HashMap;

use farthing_money::Usd;
use farthing_policy::json::Json;
use farthing_policy::tools::{Part, denial_text, validation_errors};
use farthing_policy::{Call, Counter, Denial, DenialCode, Policy, Quantity, Refund, Usage};
use jiff::Timestamp;

/// The example of reference/policy.md.
const DESK: &str = include_str!("desk.yaml");

const GOOD: &str = r#"{"cents":4000,"currency":"usd","payee":{"id":"acct_12345678"}}"#;

/// A policy with counters that never end.
struct Desk {
    policy: Policy,
    counters: HashMap<Counter, Quantity>,
    agent: Option<&'static str>,
}

impl Desk {
    fn new(policy: &str) -> Self {
        Self { policy: Policy::parse(policy).unwrap(), counters: HashMap::new(), agent: None }
    }

    fn call(&mut self, tool: &str, arguments: &str) -> Result<Vec<Denial>, Denial> {
        let json = Json::parse(arguments.as_bytes()).unwrap();
        let arguments = json.as_object().unwrap();
        let call = Call {
            server: "desk",
            tool,
            arguments,
            agent: self.agent,
            session: "s",
            now: Timestamp::UNIX_EPOCH,
        };
        let plan = self.policy.plan(&call)?;
        let used = |counter: &Counter| Usage {
            amount: Usd::new(self.counters.get(counter).copied().unwrap_or_default().get()),
            ..Usage::default()
        };
        let used: Vec<Usage> = plan.counters.iter().map(used).collect();
        let shadowed = plan.decide(&used)?;
        for charge in plan.charges {
            let count = self.counters.entry(charge.counter).or_default();
            *count = count.plus(charge.amount).unwrap();
        }
        Ok(shadowed)
    }

    fn text(&mut self, tool: &str, arguments: &str) -> Option<String> {
        self.call(tool, arguments).err().map(|denial| denial_text(&denial))
    }
}

#[test]
fn the_desk_decides_as_intercept_does() {
    let mut desk = Desk::new(DESK);
    let outside = Some("[INTERCEPT POLICY DENIED] Outside the desk's ticket rules".to_owned());
    assert_eq!(
        desk.text("purge_ledger", "{}").unwrap(),
        "[INTERCEPT POLICY DENIED] Tool \"purge_ledger\" is hidden by policy"
    );
    assert_eq!(desk.text("void_account", "{}").unwrap(), "[INTERCEPT POLICY DENIED] Voiding needs a person");
    for wrong in [
        r#"{"cents":24,"currency":"usd","payee":{"id":"acct_12345678"}}"#,
        r#"{"cents":4001,"currency":"usd","payee":{"id":"acct_12345678"}}"#,
        r#"{"cents":"25","currency":"usd","payee":{"id":"acct_12345678"}}"#,
        r#"{"cents":25,"currency":"eur","payee":{"id":"acct_12345678"}}"#,
        r#"{"cents":25,"currency":"usd","payee":{"id":"x acct_12345678"}}"#,
        r#"{"cents":25,"currency":"usd","payee":"acct_12345678"}"#,
        r#"{"cents":25,"currency":"usd","payee":{"id":"acct_12345678"},"override":true}"#,
        r#"{"currency":"usd","payee":{"id":"acct_12345678"}}"#,
        "{}",
    ] {
        assert_eq!(desk.text("send_payment", wrong), outside, "{wrong}");
    }
    for _ in 0..7 {
        assert_eq!(desk.text("send_payment", GOOD), None);
    }
    let budget = Some("[INTERCEPT POLICY DENIED] Desk budget for today is used".to_owned());
    assert_eq!(desk.text("send_payment", GOOD), budget, "28000 + 4000 > 30000");
    let less = GOOD.replace("4000", "2000");
    assert_eq!(desk.text("send_payment", &less), None, "28000 + 2000 = 30000");
    for _ in 8..45 {
        assert_eq!(desk.text("look_up", "{}"), None);
    }
    let pace = "[INTERCEPT POLICY DENIED] Rate limit of 45 per minute reached. Try again later.".to_owned();
    assert_eq!(desk.text("look_up", "{}"), Some(pace));
}

#[test]
fn denials_without_words_of_their_own() {
    let mut desk = Desk::new(
        r#"
version: 1
default: deny
tools:
  a: {rules: [{name: only-x, conditions: [{path: args.x, op: eq, value: 1}]}]}
  b:
    rules:
      - name: twice
        conditions: [{path: state.b.n, op: lt, value: 3}]
        state: {counter: n, window: hour}
  c: {rules: [{name: no, action: deny}]}
  d: {rules: []}
"#,
    );
    let denied = |text: &str| Some(format!("[INTERCEPT POLICY DENIED] {text}"));
    assert_eq!(desk.text("a", "{}"), denied("Denied by rule \"only-x\""));
    assert_eq!(desk.text("c", "{}"), denied("Denied by rule \"no\""));
    assert_eq!(desk.text("e", "{}"), denied("Tool \"e\" is not permitted by policy"));
    assert_eq!(desk.text("d", "{}"), None);
    assert_eq!((desk.text("b", "{}"), desk.text("b", "{}")), (None, None), "lt 3 admits two");
    assert_eq!(desk.text("b", "{}"), denied("Rate limit exceeded for twice"));
    let denial = desk.call("b", "{}").unwrap_err();
    assert_eq!(denial.code, DenialCode::RateExceeded);
    assert_eq!((denial.used.as_deref(), denial.rule.as_str()), (Some("2"), "twice"));
}

#[test]
fn amounts_are_exact_and_never_refill() {
    let mut desk = Desk::new(
        r#"
version: "1"
tools:
  pay:
    rules:
      - name: cap
        conditions: [{path: state.pay.sum, op: lte, value: 10}]
        state: {counter: sum, window: day, increment_from: args.amount}
"#,
    );
    for _ in 0..10 {
        assert!(desk.call("pay", r#"{"amount":0.99}"#).is_ok());
    }
    let denial = desk.call("pay", r#"{"amount":"0.99"}"#).unwrap_err();
    assert_eq!((denial.used.as_deref(), denial.remaining.as_deref()), (Some("9.9"), Some("0.1")));
    assert!(desk.call("pay", r#"{"amount":"0.1"}"#).is_ok(), "a decimal string");
    for refused in
        ["-5", "\"-5\"", "1e400", "0.0000000000000000001", "true", "null", "[1]", "\"5 dollars\"", "\"\""]
    {
        let denial = desk.call("pay", &format!("{{\"amount\":{refused}}}")).unwrap_err();
        assert_eq!(denial.code, DenialCode::BadArguments, "{refused}");
    }
    assert_eq!(desk.call("pay", "{}").unwrap_err().code, DenialCode::BadArguments);
    assert_eq!(desk.call("pay", r#"{"amount":1e19}"#).unwrap_err().code, DenialCode::RateExceeded);
}

#[test]
fn a_dotted_name_can_be_limited() {
    let mut desk = Desk::new(
        "version: 1\ntools:\n  files.read: {rules: [{name: r, rate_limit: 1/hour}]}\n  \
         files: {rules: [{name: r, conditions: [{path: state.files.read._rate_hour, op: lte, value: 5}]}]}\n",
    );
    assert!(desk.call("files.read", "{}").is_ok());
    assert!(desk.call("files.read", "{}").is_err());
    assert!(desk.call("files", "{}").is_ok(), "another rule reads it");
}

#[test]
fn counters_apart_and_together() {
    let mut desk = Desk::new(
        r#"
version: 1
tools:
  ask: {rules: [{name: per-topic, rate_limit: 1/24 hours, each: args.topic}]}
  again: {rules: [{name: loop, rate_limit: 2/60 seconds, each: call, on_deny: "the same again"}]}
  x: {rules: [{name: sum, conditions: [{path: state._shared.n, op: lte, value: 2}], state: {counter: n, window: lifetime, scope: shared}}]}
  y: {rules: [{name: sum, conditions: [{path: state._shared.n, op: lte, value: 2}], state: {counter: n, window: lifetime, scope: shared}}]}
"#,
    );
    assert!(desk.call("ask", r#"{"topic":"a"}"#).is_ok());
    assert!(desk.call("ask", r#"{"topic":"b"}"#).is_ok());
    assert!(desk.call("ask", r#"{"topic":"a"}"#).is_err());
    assert_eq!(desk.call("ask", "{}").unwrap_err().code, DenialCode::BadArguments);
    for _ in 0..2 {
        assert!(desk.call("again", r#"{"a":1,"b":2.0}"#).is_ok());
    }
    assert_eq!(desk.text("again", r#"{"b":2,"a":1}"#).unwrap(), "[INTERCEPT POLICY DENIED] the same again");
    assert!(desk.call("again", r#"{"b":2,"a":2}"#).is_ok());
    assert!(desk.call("x", "{}").is_ok() && desk.call("y", "{}").is_ok(), "one counter for two tools");
    assert!(desk.call("x", "{}").is_err() && desk.call("y", "{}").is_err());
}

#[test]
fn a_counter_that_two_rules_take_from_holds_for_both() {
    let mut desk = Desk::new(
        r#"
version: 1
tools:
  x: {rules: [{name: a, conditions: [{path: state._shared.n, op: lte, value: 3}], state: {counter: n, window: lifetime, scope: shared}}]}
  "*": {rules: [{name: b, conditions: [{path: state._shared.n, op: lte, value: 3}], state: {counter: n, window: lifetime, scope: shared}}]}
"#,
    );
    assert!(desk.call("x", "{}").is_ok(), "two of three");
    assert_eq!(desk.call("x", "{}").unwrap_err().rule, "b");
    assert!(desk.call("y", "{}").is_ok() && desk.call("y", "{}").is_err());
}

#[test]
fn expressions_approvals_and_shadows() {
    let mut desk = Desk::new(
        r#"
version: 1
tools:
  pay:
    rules:
      - {name: sane, conditions: [{cel: "args.amount < 100 && args.to.startsWith('acct_')"}]}
      - {name: big, action: require_approval, approval_timeout: 1h30m, conditions: [{path: args.amount, op: gt, value: 50}]}
      - {name: soon, shadow: true, conditions: [{path: args.amount, op: lte, value: 10}]}
"#,
    );
    assert_eq!(desk.call("pay", r#"{"amount":5,"to":"acct_1"}"#), Ok(Vec::new()));
    let shadowed = desk.call("pay", r#"{"amount":20,"to":"acct_1"}"#).unwrap();
    assert_eq!(shadowed[0].rule, "soon");
    for wrong in [r#"{"amount":5,"to":"x"}"#, r#"{"amount":"5","to":"acct_1"}"#, r#"{"to":"acct_1"}"#] {
        assert_eq!(desk.call("pay", wrong).unwrap_err().code, DenialCode::ConditionFailed, "{wrong}");
    }
    let json = Json::parse(br#"{"to":"acct_1","amount":60.0}"#).unwrap();
    let call = Call {
        server: "s",
        tool: "pay",
        arguments: json.as_object().unwrap(),
        agent: None,
        session: "",
        now: Timestamp::UNIX_EPOCH,
    };
    let need = desk.policy.plan(&call).unwrap().approval.unwrap();
    assert_eq!(need.valid.as_secs(), 5400);
    assert_eq!(
        need.terms,
        r#"{"agent":null,"arguments":{"amount":60,"to":"acct_1"},"server":"s","tool":"pay"}"#
    );
}

#[test]
fn digits_letters_and_letter_case_lead_around_no_rule() {
    let mut desk = Desk::new(
        r#"
version: 1
tools:
  re: {rules: [{name: r, conditions: [{path: args.x, op: regex, value: '^\d{4}[\w-]\b'}]}]}
  not: {rules: [{name: r, conditions: [{path: args.x, op: not_in, value: [1, 2]}]}]}
  loop: {rules: [{name: r, rate_limit: 1/hour, each: call}]}
  cel: {rules: [{name: r, conditions: [{cel: "args.amount < 100 && !has(args.override)"}]}]}
  big: {rules: [{name: r, action: require_approval, conditions: [{path: args.cents, op: gt, value: 2000}]}]}
"#,
    );
    assert!(desk.call("re", r#"{"x":"1234a"}"#).is_ok() && desk.call("re", r#"{"x":"1234-a"}"#).is_ok());
    for other in ["１２３４a", "1234é", "٤٢٤٢a"] {
        assert!(desk.call("re", &format!("{{\"x\":\"{other}\"}}")).is_err(), "{other}");
    }
    let zeros = "0".repeat(40);
    assert!(desk.call("not", &format!("{{\"x\":1.{zeros}}}")).is_err());
    assert!(desk.call("loop", &format!("{{\"x\":1.{zeros}}}")).is_err());
    assert!(desk.call("cel", r#"{"amount":1}"#).is_ok());
    for twin in [
        r#"{"amount":1,"Amount":1000}"#,
        r#"{"amount":1,"OVERRIDE":true}"#,
        r#"{"amount":1,"a":{"b":1,"B":2}}"#,
    ] {
        assert!(desk.call("cel", twin).is_err(), "{twin}");
    }
    let asks = |cents: &str| {
        let json = Json::parse(format!("{{\"cents\":{cents}}}").as_bytes()).unwrap();
        let (arguments, now) = (json.as_object().unwrap(), Timestamp::UNIX_EPOCH);
        let call = Call { server: "s", tool: "big", arguments, agent: None, session: "", now };
        desk.policy.plan(&call).unwrap().approval.is_some()
    };
    for cents in ["2001", "\"5000\"", "null", "[5000]", &format!("5000.{zeros}")] {
        assert!(asks(cents), "{cents}");
    }
    assert!(!asks("2000"));
}

#[test]
fn every_rule_is_explained() {
    let policy = Policy::parse(DESK).unwrap();
    let json = Json::parse(GOOD.replace("usd", "eur").as_bytes()).unwrap();
    let arguments = json.as_object().unwrap();
    let call = Call {
        server: "desk",
        tool: "send_payment",
        arguments,
        agent: None,
        session: "s",
        now: Timestamp::UNIX_EPOCH,
    };
    let traced = policy.trace(&call);
    assert_eq!(
        traced.iter().map(|rule| rule.rule.as_str()).collect::<Vec<_>>(),
        ["ticket-range", "day-budget", "pace"]
    );
    assert_eq!(traced[0].parts[1], Part::Holds("args.cents lte 4000".to_owned()));
    assert!(matches!(&traced[0].parts[2], Part::Fails(why) if why.contains("args.currency in")));
    let Part::Counts { against, .. } = &traced[1].parts[1] else { panic!() };
    assert_eq!(against, "takes 4000, and may come to 30000");
}

#[test]
fn a_denial_behind_a_counter_takes_nothing() {
    let policy = "version: 1\ntools:\n  t:\n    rules:\n      - {name: pace, rate_limit: 1/hour}\n      - {name: x, conditions: [{path: args.x, op: exists, value: true}]}\n";
    let mut desk = Desk::new(policy);
    for _ in 0..3 {
        assert_eq!(desk.call("t", "{}").unwrap_err().rule, "x");
    }
    assert!(desk.call("t", r#"{"x":1}"#).is_ok());
    assert_eq!(
        desk.call("t", "{}").unwrap_err().rule,
        "x",
        "the counter stands at its limit, and reads within it"
    );
    assert_eq!(desk.call("t", r#"{"x":1}"#).unwrap_err().rule, "pace");
}

#[test]
fn a_limit_is_told_as_one_also_above_it() {
    let limit =
        |most: u32| format!("version: 1\ntools: {{t: {{rules: [{{name: r, rate_limit: {most}/day}}]}}}}\n");
    let mut desk = Desk::new(&limit(3));
    assert!((0..3).all(|_| desk.call("t", "{}").is_ok()));
    desk.policy = Policy::parse(&limit(2)).unwrap();
    let denial = desk.call("t", "{}").unwrap_err();
    assert_eq!((denial.code, denial.remaining.as_deref()), (DenialCode::RateExceeded, Some("0")));
    desk.policy = Policy::parse(&limit(2).replace("name: r", "name: r, shadow: true")).unwrap();
    assert_eq!(desk.call("t", "{}").unwrap().len(), 1, "reported once");
    let two = "version: 1\ntools: {t: {rules: [{name: r, conditions: [{path: state.t.n, op: lte, value: 9}, \
               {path: state.t.n, op: lt, value: 3}], state: {counter: n, window: day}}]}}\n";
    let mut desk = Desk::new(two);
    assert_eq!((0..9).filter(|_| desk.call("t", "{}").is_ok()).count(), 2, "the lower one holds");
}

#[test]
fn refunds_are_per_rule() {
    let policy = Policy::parse(
        "version: 1\ntools:\n  t:\n    rules:\n      - {name: a, conditions: [{path: state.t.n, op: lte, value: 1}], state: {counter: n, window: 7 days, refund: on_failure}}\n",
    )
    .unwrap();
    let call = Call {
        server: "s",
        tool: "t",
        arguments: &Default::default(),
        agent: None,
        session: "",
        now: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(policy.plan(&call).unwrap().charges[0].refund, Refund::OnFailure);
}

/// A rule of the tool `t`, and what is said of it with its place.
#[test]
fn dead_rules_and_misspelt_keys_are_refused() {
    for (rules, word) in [
        ("{name: a, ¦conditons: []}", "conditons"),
        (
            "{name: a, conditions: [{path: args.x, op: lte, value: 5}, ¦{path: args.x, op: gte, value: 6}]}",
            "exclude",
        ),
        (
            "{name: a, conditions: [{path: args.x, op: exists, value: false}, ¦{path: args.x, op: eq, value: 1}]}",
            "exclude",
        ),
        ("{name: a, action: deny}\n      - ¦{name: b, rate_limit: 1/hour}", "no call ever"),
        ("{name: a, conditions: [{path: args.x, op: in, value: ¦[]}]}", "empty"),
        ("{name: a, conditions: [{path: ¦state.t.n, op: lte, value: 5}]}", "no rule counts"),
        (
            "{name: a, conditions: [{path: args.x, op: eq, value: 1}], state: {counter: ¦n, window: day}}",
            "nothing counts",
        ),
        (
            "{name: a, conditions: [{path: state.t.n, op: lt, value: ¦0}], state: {counter: n, window: day}}",
            "below 0",
        ),
        ("{name: a, rate_limit: ¦0/hour}", "above 0"),
        ("{name: a, rate_limit: ¦5/fortnight}", "window"),
        ("{name: a, rate_limit: 1/hour}\n      - {name: b, rate_limit: ¦2/hour}", "already"),
        ("¦{name: a, rate_limit: 1/hour, action: deny}", "alone"),
        ("¦{name: a, action: deny, conditions: [{path: args.x, op: eq, value: 1}]}", "no conditions"),
        ("¦{name: a}", "at least one"),
        ("¦{conditions: [{path: args.x, op: eq, value: 1}]}", "name"),
        ("{name: a, conditions: [{path: args.x, op: ¦like, value: 1}]}", "no operator"),
        ("{name: a, conditions: [{path: ¦argz.x, op: eq, value: 1}]}", "no path"),
        ("{name: a, conditions: [{path: args.x, op: regex, value: ¦\"(\"}]}", "regular"),
        ("{name: a, conditions: [{path: args.x, op: lte, value: ¦\"5\"}]}", "number"),
        ("{name: a, conditions: [{cel: ¦\"args.x <\"}]}", "CEL"),
        ("{name: a, conditions: [{cel: ¦\"amount < 5\"}]}", "not known"),
        ("¦{name: a, each: args.x, conditions: [{path: args.x, op: eq, value: 1}]}", "counter"),
        ("{name: a, action: ¦allow}", "no action"),
        ("¦{name: a, action: require_approval, shadow: true}", "shadow"),
        (
            "{name: a, approval_timeout: ¦5m, conditions: [{path: args.x, op: eq, value: 1}]}",
            "require_approval",
        ),
        ("{name: a, action: require_approval, approval_timeout: ¦soon}", "length of time"),
    ] {
        let marked = format!("version: 1\ntools:\n  t:\n    rules:\n      - {rules}\n");
        let before = marked.split('¦').next().unwrap();
        let place = (before.lines().count(), before.lines().last().unwrap().chars().count() + 1);
        let error = Policy::parse(&marked.replace('¦', "")).unwrap_err();
        assert_eq!((error.line, error.column), place, "{rules}: {error}");
        assert!(error.message.contains(word), "{rules}: {error}");
    }
    let hidden = "version: 1\nhide: [t]\ntools:\n  t: {rules: []}\n";
    assert!(Policy::parse(hidden).unwrap_err().message.contains("hidden"));
}

#[test]
fn validation_speaks_as_intercept_does() {
    let text = r#"
version: "2"
default: maybe
hide: [a, "", a]
tools:
  b:
    rules:
      - {rate_limit: x/hour, state: {counter: n, window: day}}
      - {name: r, action: block}
      - {action: deny, conditions: [{path: args.x, op: eq, value: 1}]}
      - name: c
        conditions:
          - {path: foo, op: like, value: 1}
          - {path: args.x, op: in, value: 5}
          - {path: args.x, op: lt, value: "5"}
          - {path: args.x, op: exists, value: "yes"}
          - {path: args.x, op: regex, value: 5}
          - {path: state.b.m, op: lte, value: 1}
        state: {counter: n, window: year, increment_from: x}
"#;
    assert_eq!(
        validation_errors(text),
        [
            r#"version must be "1", got "2""#,
            r#"default must be "allow" or "deny", got "maybe""#,
            "hide[1]: entry must not be empty",
            r#"hide: duplicate entry "a""#,
            r#"tools.b.rules[3]: duplicate state counter "n" (also used by rules[0])"#,
            r#"tools.b.rules[0]: rate_limit count must be a positive integer, got "x""#,
            "tools.b.rules[0]: rate_limit cannot be combined with conditions or state; use separate rules or the full syntax instead",
            r#"tools.b.rules[1]: action must be "evaluate" or "deny", got "block""#,
            "tools.b.rules[2]: rule must have a name",
            "tools.b.rules[2]: deny rules must not have conditions",
            r#"tools.b.rules[3].conditions[0]: path must start with "args." or "state.", got "foo""#,
            r#"tools.b.rules[3].conditions[0]: unknown operator "like""#,
            r#"tools.b.rules[3].conditions[1]: operator "in" requires a list value"#,
            r#"tools.b.rules[3].conditions[2]: operator "lt" requires a numeric value"#,
            r#"tools.b.rules[3].conditions[3]: operator "exists" requires a boolean value"#,
            "tools.b.rules[3].conditions[4]: regex value must be a string",
            r#"tools.b.rules[3].state: window must be "minute", "hour", or "day", got "year""#,
            r#"tools.b.rules[3].state: increment_from must start with "args.", got "x""#,
            "tools.b.rules[3]: condition references state.b.m but no matching state block found",
        ]
    );
    assert!(validation_errors(DESK).is_empty());
}
