//! Decisions by the rules that the model in `decisions.rs` does not know.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]
#![allow(clippy::result_large_err, reason = "as in the crate")]

use farthing_money::{Asset, BaseUnits, Network, Registry};
use farthing_policy::{
    Clearance, Denial, DenialCode, Destination, Measure, Period, Policy, Terms, Usage, Window,
};
use proptest::prelude::*;
use proptest::sample::select;

const NOW: &str = "2026-03-04T12:00:00Z";
const PAYEE: &str = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

fn policy(payments: &str) -> Policy {
    let payments: String = payments.lines().map(|line| format!("  {line}\n")).collect();
    Policy::parse(&format!("version: 1\npayments:\n  max: \"$10\"\n{payments}categories: {{search: [api.example.com], all: [\"*.example.com\"]}}"))
        .unwrap()
}

/// Decides a payment of $0.25 to api.example.com, with what `change` does to it.
fn decide(policy: &Policy, change: impl FnOnce(&mut Terms<'_>)) -> Result<Clearance, Denial> {
    let asset: Asset = Asset::clone(Registry::builtin().usdc(&Network::BASE).unwrap());
    let mut terms = Terms {
        host: "api.example.com",
        payee: PAYEE,
        asset: &asset,
        amount: BaseUnits::new(250_000),
        method: "GET",
        resource: "https://api.example.com/v1/search?q=1",
        body: None,
        agent: None,
        session: None,
        tool: None,
        advertised: None,
        now: NOW.parse().unwrap(),
    };
    change(&mut terms);
    policy.check(&terms)
}

/// A text for terms of any lifetime.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn scopes(policy: &Policy, change: impl FnOnce(&mut Terms<'_>)) -> Vec<String> {
    decide(policy, change).unwrap().limits.into_iter().map(|limit| limit.scope).collect()
}

fn denied(policy: &Policy, change: impl FnOnce(&mut Terms<'_>)) -> (DenialCode, String) {
    let denial = decide(policy, change).unwrap_err();
    assert!(!denial.message.is_empty());
    (denial.code, denial.rule)
}

fn each(each: &str) -> Policy {
    policy(&format!("budgets: [{{name: b, max: \"$1\", per: day, each: {each}}}]"))
}

#[test]
fn scopes_of_every_kind() {
    let plain = |_: &mut Terms<'_>| {};
    assert_eq!(scopes(&each("all"), plain), ["all"]);
    assert_eq!(scopes(&each("host"), plain), ["host:api.example.com"]);
    assert_eq!(scopes(&each("payee"), plain), [format!("payee:{}", PAYEE.to_lowercase())]);
    assert_eq!(scopes(&each("network"), plain), ["network:eip155:8453"]);
    assert_eq!(scopes(&each("resource"), plain), ["resource:GET https://api.example.com/v1/search"]);
    assert_eq!(scopes(&each("category"), plain), ["category:search", "category:all"]);
    assert_eq!(scopes(&each("category"), |terms| terms.host = "example.org"), ["category:-"]);
    assert_eq!(scopes(&each("tool"), plain), ["by-tool:-"]);
    assert_eq!(scopes(&each("tool"), |terms| terms.tool = Some("fetch")), ["by-tool:fetch"]);
    assert_eq!(scopes(&each("agent"), plain), ["agent:-"]);
    assert_eq!(scopes(&each("agent"), |terms| terms.agent = Some("bot")), ["agent:bot"]);
    for odd in ["-", "", "a/all", "a b", kept("x".repeat(201))] {
        let scope = scopes(&each("tool"), |terms| terms.tool = Some(odd)).remove(0);
        assert!(scope.starts_with("by-tool:sha256:") && scope.len() == 79, "{scope}");
    }
    let long = format!("https://api.example.com/{}", "x".repeat(300));
    let scope = scopes(&each("resource"), |terms| terms.resource = kept(long)).remove(0);
    assert!(scope.starts_with("resource:sha256:"), "{scope}");
}

#[test]
fn a_session_has_a_budget_and_a_payment_without_one_is_alone() {
    let policy = policy("budgets: [{name: task, max: \"$0.30\", per: session, each: host}]");
    let limit = decide(&policy, |terms| terms.session = Some("s1")).unwrap().limits.remove(0);
    assert_eq!((limit.scope.as_str(), limit.window), ("session:s1/host:api.example.com", Window::Lifetime));
    assert!(decide(&policy, |_| ()).unwrap().limits.is_empty());
    let too_much = |terms: &mut Terms<'_>| terms.amount = BaseUnits::new(300_001);
    assert_eq!(denied(&policy, too_much), (DenialCode::BudgetExceeded, "task".to_owned()));
    assert!(policy.limits().is_empty());
}

#[test]
fn new_payees_and_loops_are_limits() {
    let policy = policy("new_payees: {max: 3, per: day}\nloops: {max: 5, per: 60 seconds, shadow: true}");
    let limits = decide(&policy, |_| ()).unwrap().limits;
    let (new, same) = (&limits[0], &limits[1]);
    assert_eq!((new.rule.as_str(), new.scope.as_str()), ("payments.new_payees", "new-payees"));
    assert_eq!(new.first_use_of.as_deref(), Some(format!("payee:{}", PAYEE.to_lowercase()).as_str()));
    assert_eq!((new.window, new.measure), (Window::Calendar(Period::Day), Measure::Count(3)));
    assert!(same.scope.starts_with("same:") && same.shadow && same.first_use_of.is_none());
    let full = Usage { count: 9, ..Usage::default() };
    assert_eq!(new.admit(full, "$1".parse().unwrap()).unwrap_err().code, DenialCode::TooManyNewPayees);
    assert_eq!(same.admit(full, "$1".parse().unwrap()).unwrap_err().code, DenialCode::Loop);
    let scope = |resource: &'static str, method: &'static str| {
        let change = move |terms: &mut Terms<'_>| (terms.resource, terms.method) = (resource, method);
        decide(&policy, change).unwrap().limits.remove(1).scope
    };
    assert_eq!(scope("https://api.example.com/v1/search?q=1", "get"), same.scope);
    assert_ne!(scope("https://api.example.com/v1/search?q=2", "GET"), same.scope);
    assert_ne!(scope("https://api.example.com/v1/search?q=1", "POST"), same.scope);
}

#[test]
fn resources_and_categories() {
    let rules = policy(
        "resources: {allow: [\"GET https://api.example.com/v1/*\"], deny: [\"https://api.example.com/v1/admin\"]}",
    );
    assert!(decide(&rules, |_| ()).is_ok());
    for (method, resource, rule) in [
        ("POST", "https://api.example.com/v1/x", "allow"),
        ("GET", "https://api.example.com/v2", "allow"),
        ("GET", "https://api.example.com/v1/%61dmin/", "deny"),
        ("GET", "https://api.example.com/v1/x/../admin", "deny"),
    ] {
        let change = |terms: &mut Terms<'_>| (terms.method, terms.resource) = (method, resource);
        let rule = format!("payments.resources.{rule}");
        assert_eq!(denied(&rules, change), (DenialCode::ResourceNotAllowed, rule), "{method} {resource}");
    }
    for resource in ["https://api.example.com/v1//admin", "https://api.example.com/v1%2Fadmin", "/v1/x"] {
        let (code, rule) = denied(&rules, |terms| terms.resource = resource);
        assert_eq!((code, rule.as_str()), (DenialCode::ResourceNotAllowed, "payments.resources"));
    }
    let rules = policy("categories: {allow: [all], deny: [search]}");
    assert!(decide(&rules, |terms| terms.host = "x.example.com").is_ok());
    let rule = |host| denied(&rules, |terms| terms.host = host);
    assert_eq!(
        rule("api.example.com"),
        (DenialCode::CategoryNotAllowed, "payments.categories.deny".to_owned())
    );
    assert_eq!(rule("example.org"), (DenialCode::CategoryNotAllowed, "payments.categories.allow".to_owned()));
}

#[test]
fn approvals_are_bound_to_the_terms() {
    let rules = policy("approve_above: \"$0.20\"");
    let need = decide(&rules, |_| ()).unwrap().needs().approval.unwrap();
    assert_eq!((need.rule.as_str(), need.valid.as_secs()), ("payments.approve_above", 1800));
    assert_eq!(
        need.terms,
        format!(
            r#"{{"agent":null,"amount":"250000","asset":"0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913","host":"api.example.com","network":"eip155:8453","payee":"{PAYEE}","resource":"GET https://api.example.com/v1/search?q=1"}}"#
        )
    );
    let lower = PAYEE.to_lowercase();
    let same = decide(&rules, |terms| (terms.host, terms.payee) = ("API.example.com.", kept(lower)));
    assert_eq!(same.unwrap().approval.unwrap(), need, "another spelling is the same");
    let other = decide(&rules, |terms| terms.amount = BaseUnits::new(250_001)).unwrap().approval.unwrap();
    assert_ne!(other.terms, need.terms);
    let posted = |body| decide(&rules, |terms| terms.body = Some(body)).unwrap().approval.unwrap().terms;
    assert!(posted("sha256:1").contains(r#""body":"sha256:1""#) && posted("sha256:1") != posted("sha256:2"));
    assert_eq!(decide(&rules, |terms| terms.amount = BaseUnits::new(200_000)).unwrap().approval, None);
}

#[test]
fn the_advertised_price_and_hours() {
    let rules = policy(
        "max_over_advertised: \"1.25\"\nhours: [{days: [wed], from: \"13:00\", to: \"14:00\", zone: Europe/Berlin}]",
    );
    assert!(decide(&rules, |_| ()).is_ok());
    assert!(decide(&rules, |terms| terms.advertised = Some("$0.20".parse().unwrap())).is_ok());
    let (code, rule) = denied(&rules, |terms| terms.advertised = Some("$0.199999".parse().unwrap()));
    assert_eq!((code, rule.as_str()), (DenialCode::AboveAdvertised, "payments.max_over_advertised"));
    let early = |terms: &mut Terms<'_>| terms.now = "2026-03-04T11:59:29.5Z".parse().unwrap();
    let denial = decide(&rules, early).unwrap_err();
    assert_eq!((denial.code, denial.retry_after_seconds), (DenialCode::OutsideHours, Some(31)));
    assert_eq!(denial.rule, "payments.hours");
}

#[test]
fn shadow_only_reports() {
    let rules = policy(
        "hosts: {deny: [api.example.com], shadow: true}\nbudgets: [{name: b, max: \"$0.10\", per: session, shadow: true}, {name: c, max: \"$0.10\", per: day, shadow: true}]",
    );
    let clearance = decide(&rules, |_| ()).unwrap();
    let rules: Vec<_> = clearance.shadowed.iter().map(|denial| denial.rule.as_str()).collect();
    assert_eq!(rules, ["payments.hosts.deny", "b"]);
    assert!(clearance.limits[0].shadow && clearance.limits[0].rule == "c");
}

const TEAM: &str = r#"
version: 1
payments: {max: "$1", budgets: [{name: day, max: "$5", per: day}, {name: each, max: "$2", per: day, each: agent}]}
agents:
  team:
    expires: "2026-06-01T00:00:00Z"
    tools: [fetch, search]
    payments: {budgets: [{name: team, max: "$1", per: day, each: agent}], approve_above: "$0.20"}
  bot:
    parent: team
    tools: [fetch]
    payments: {max: "$0.50", hosts: {allow: [api.example.com]}, loops: {max: 3, per: 60 seconds}}
  free: {}
"#;

#[test]
fn an_agent_stands_under_all_above_it() {
    let policy = Policy::parse(TEAM).unwrap();
    let as_agent = |agent| move |terms: &mut Terms<'_>| terms.agent = agent;
    let limits = |agent| -> Vec<(String, String)> {
        let clearance = decide(&policy, as_agent(agent)).unwrap();
        clearance.limits.into_iter().map(|limit| (limit.rule, limit.scope)).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    assert_eq!(limits(None), pairs(&[("day", "all"), ("each", "agent:-")]));
    assert_eq!(limits(Some("free")), pairs(&[("day", "all"), ("each", "agent:free")]));
    let bot = limits(Some("bot"));
    let own = [
        ("day", "all"),
        ("each", "agent:bot"),
        ("each", "agent:team"),
        ("agents.team.team", "agent:team/agent:bot"),
    ];
    assert_eq!(bot[..4], pairs(&own));
    assert_eq!(bot[4].0, "agents.bot.payments.loops");
    assert!(bot[4].1.starts_with("agent:bot/same:"));
    let last = limits(Some("team")).pop().unwrap();
    assert_eq!(last, ("agents.team.team".to_owned(), "agent:team/agent:-".to_owned()));
    let need = decide(&policy, as_agent(Some("bot"))).unwrap().approval.unwrap();
    assert_eq!(need.rule, "agents.team.payments.approve_above");
    assert!(need.terms.starts_with(r#"{"agent":"bot","#));
    let host = |terms: &mut Terms<'_>| (terms.agent, terms.host) = (Some("bot"), "example.org");
    assert_eq!(
        denied(&policy, host),
        (DenialCode::HostNotAllowed, "agents.bot.payments.hosts.allow".to_owned())
    );
    assert_eq!(denied(&policy, as_agent(Some("nobody"))), (DenialCode::UnknownAgent, "agents".to_owned()));
    let late = |terms: &mut Terms<'_>| {
        (terms.agent, terms.now) = (Some("bot"), "2026-06-01T00:00:00Z".parse().unwrap());
    };
    assert_eq!(denied(&policy, late), (DenialCode::AgentExpired, "agents.team.expires".to_owned()));
    assert_eq!(policy.limits_of(Some("bot")).len(), 1);
    assert!(policy.limits_of(Some("nobody")).is_empty());
}

#[test]
fn every_cap_is_shown_with_its_use_or_in_words() {
    let policy = Policy::parse(
        r#"
version: 1
payments:
  max: "$1"
  budgets:
    - {name: day, max: "$5", per: day}
    - {name: one-host, max: "$2", per: day, each: host}
    - {name: sitting, max: "$1", per: session}
agents:
  team:
    payments: {budgets: [{name: week, max: "$9", per: week}]}
  bot:
    parent: team
    payments:
      rates: [{name: pace, max: 3, per: minute}]
      loops: {max: 2, per: minute}
"#,
    )
    .unwrap();
    let rules: Vec<_> = policy.limits_of_everybody().into_iter().map(|limit| limit.rule).collect();
    assert_eq!(rules, ["day", "agents.team.week", "agents.bot.pace"]);
    let apart = policy.counted_apart();
    assert_eq!(apart.len(), 3, "{apart:?}");
    for (said, part) in
        apart.iter().zip(["counted for each host", "per session", "Agent `bot`: The same call"])
    {
        assert!(said.words.contains(part), "{}", said.words);
    }
}

#[test]
fn what_is_counted_apart_has_names() {
    let payee = PAYEE.to_lowercase();
    for (kind, name) in [
        ("host", "api.example.com"),
        ("payee", payee.as_str()),
        ("network", "eip155:8453"),
        ("resource", "GET https://api.example.com/v1/search"),
        ("category", "search"),
        ("tool", "-"),
        ("agent", "-"),
    ] {
        let policy = each(kind);
        let apart = policy.counted_apart().remove(0);
        assert_eq!(apart.name(&scopes(&policy, |_| {})[0]), Some(name), "{kind}");
        assert_eq!(apart.name("all"), None);
        assert_eq!(apart.name("agent:bot/host:a.example"), None, "that is one of an agent's own");
    }
}

#[test]
fn tools_of_agents() {
    let policy = Policy::parse(TEAM).unwrap();
    let now = "2026-03-04T12:00:00Z".parse().unwrap();
    let call =
        |agent, tool| policy.agent_may_call(agent, tool, now).map_err(|denial| (denial.code, denial.rule));
    assert_eq!(call(None, "anything"), Ok(()));
    assert_eq!(call(Some("free"), "anything"), Ok(()));
    assert_eq!(call(Some("team"), "search"), Ok(()));
    assert_eq!(call(Some("bot"), "fetch"), Ok(()));
    assert_eq!(call(Some("bot"), "search"), Err((DenialCode::ToolNotAllowed, "agents.bot.tools".to_owned())));
    assert_eq!(call(Some("x"), "fetch"), Err((DenialCode::UnknownAgent, "agents".to_owned())));
    let late = "2026-06-01T00:00:00Z".parse().unwrap();
    assert_eq!(policy.agent_may_call(Some("bot"), "fetch", late).unwrap_err().code, DenialCode::AgentExpired);
    let killed = Policy::parse(&format!("{TEAM}kill: incident 7\n")).unwrap();
    assert_eq!(killed.killed(), Some("incident 7"));
    assert_eq!(killed.agent_may_call(None, "x", now).unwrap_err().code, DenialCode::Frozen);
    assert_eq!(denied(&killed, |_| ()), (DenialCode::Frozen, "kill".to_owned()));
    let none = Policy::parse("version: 1\nagents: {a: {}}").unwrap();
    assert_eq!(denied(&none, |_| ()), (DenialCode::PaymentsNotAllowed, "payments".to_owned()));
}

/// Rules of a section, some of them in shadow mode when `shadow` is.
fn section(shadow: &'static str) -> impl Strategy<Value = String> {
    let rules = move |shadow: &str| {
        vec![
            "min: \"$0.05\"".to_owned(),
            "max: \"$0.30\"".to_owned(),
            format!("hosts: {{allow: [api.example.com, a.com]{shadow}}}"),
            format!("resources: {{deny: [\"https://api.example.com/v1/*\"]{shadow}}}"),
            format!("networks: {{deny: [base]{shadow}}}"),
            format!("budgets: [{{name: b, max: \"$0.20\", per: session{shadow}}}]"),
            "hours: [{days: [wed, thu]}]".to_owned(),
            "approve_above: \"$0.10\"".to_owned(),
            "max_over_advertised: \"1.5\"".to_owned(),
        ]
    };
    let all = rules(shadow);
    let count = all.len();
    proptest::sample::subsequence(all, 0..=count).prop_map(|rules| rules.join(", "))
}

fn joined(max: &str, rules: &str) -> String {
    if rules.contains("max: \"$0.30\"") { format!("{{{rules}}}") } else { format!("{{max: {max}, {rules}}}") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn an_agent_is_never_allowed_what_its_parent_is_denied(
        root in section(""), team in section(""), bot in section(""),
        amount in 1u128..500_000, host in select(vec!["api.example.com", "a.com", "b.com"]),
        day in 1u32..8, advertised in proptest::option::of(1u32..50), session in any::<bool>(),
    ) {
        let text = format!(
            "version: 1\npayments: {}\nagents: {{team: {{payments: {{{team}}}}}, bot: {{parent: team, payments: {{{bot}}}}}}}",
            joined("none", &root)
        );
        let Ok(policy) = Policy::parse(&text) else { return Ok(()) };
        let by = |agent: Option<&'static str>| {
            decide(&policy, |terms| {
                (terms.agent, terms.host, terms.amount) = (agent, host, BaseUnits::new(amount));
                terms.now = format!("2026-03-0{day}T12:00:00Z").parse().unwrap();
                terms.advertised = advertised.map(|cents| format!("$0.{cents:02}").parse().unwrap());
                terms.session = session.then_some("s");
            })
        };
        for (agent, parent) in [(Some("bot"), Some("team")), (Some("team"), None)] {
            match (by(agent), by(parent)) {
                (Ok(own), Ok(above)) => {
                    prop_assert!(above.limits.iter().all(|limit| own.limits.contains(limit)));
                    prop_assert!(above.approval.is_none() || own.approval.is_some());
                }
                (Ok(_), Err(denial)) => return Err(TestCaseError::fail(format!("{agent:?}: {denial}\n{text}"))),
                // What is denied above is denied for the same reason below, so that the reason is the widest one.
                (Err(own), Err(above)) => prop_assert!(own == above || own.rule.contains("agents."), "{own:?} {above:?}"),
                (Err(_), Ok(_)) => {}
            }
        }
    }

    #[test]
    fn shadow_never_denies(rules in section(", shadow: true"), amount in 1u128..500_000) {
        let never = ["min", "max", "hours", "max_over_advertised"];
        let Ok(policy) = Policy::parse(&format!("version: 1\npayments: {}", joined("none", &rules))) else { return Ok(()) };
        if let Err(denial) = decide(&policy, |terms| terms.amount = BaseUnits::new(amount)) {
            prop_assert!(never.iter().any(|rule| denial.rule == format!("payments.{rule}")), "{denial:?}");
        }
    }
}

#[test]
fn where_one_may_go_at_all_is_decided_without_a_price() {
    let policy = Policy::parse(
        "version: 1\npayments:\n  max: \"$1\"\n  hosts: {allow: [\"*.example.com\"]}\n  resources: {deny: [\"https://a.example.com/admin\"]}\n\
         agents:\n  narrow: {payments: {hosts: {allow: [\"a.example.com\"]}}}\n  late: {expires: \"2020-01-01T00:00:00Z\"}\n",
    )
    .unwrap();
    let says = |host: &str, path: &str, agent: Option<&str>| {
        let resource = format!("https://{host}{path}");
        let going = Destination { host, method: "GET", resource: &resource };
        policy.admit_destination(&going, agent, NOW.parse().unwrap()).map_err(|denial| denial.code)
    };
    for (host, path, agent, said) in [
        ("a.example.com", "/", None, Ok(())),
        ("b.example.com:8443", "/x?y", None, Ok(())),
        ("example.org", "/", None, Err(DenialCode::HostNotAllowed)),
        ("example.com", "/", None, Err(DenialCode::HostNotAllowed)),
        ("a.example.com", "/admin", None, Err(DenialCode::ResourceNotAllowed)),
        ("a.example.com", "/", Some("narrow"), Ok(())),
        ("b.example.com", "/", Some("narrow"), Err(DenialCode::HostNotAllowed)),
        ("a.example.com", "/", Some("late"), Err(DenialCode::AgentExpired)),
        ("a.example.com", "/", Some("nobody"), Err(DenialCode::UnknownAgent)),
    ] {
        assert_eq!(says(host, path, agent), said, "{host}{path} {agent:?}");
    }
    let going = Destination { host: "a.example.com", method: "GET", resource: "https://a.example.com/" };
    for (policy, code) in [
        ("version: 1\nhide: [a]\n", DenialCode::PaymentsNotAllowed),
        ("version: 1\npayments: {max: \"$1\"}\nkill: true\n", DenialCode::Frozen),
    ] {
        let said = Policy::parse(policy).unwrap().admit_destination(&going, None, NOW.parse().unwrap());
        assert_eq!(said.map_err(|denial| denial.code), Err(code));
    }
}
