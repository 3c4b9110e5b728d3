//! `--agent`: who may call what, and until when.

use serde_json::json;

use crate::desk::Desk;

const POLICY: &str = r#"
version: 1
tools:
  fixed: {rules: [{name: never, action: deny}]}
  each: {rules: [{name: pace, rate_limit: 1/hour, each: agent}]}
agents:
  lead: {tools: [look_up, send, fixed, each]}
  helper: {parent: lead, tools: [look_up, each, elsewhere]}
  anyone: {}
  former: {expires: "2020-01-01T00:00:00Z"}
  orphan: {parent: former}
  later: {expires: "2900-01-01T00:00:00Z"}
"#;

#[test]
fn an_agent_calls_what_its_list_and_those_above_it_have() {
    let desk = Desk::new(POLICY);
    for (agent, tool, denial) in [
        ("lead", "look_up", None),
        ("lead", "send", None),
        ("lead", "other", Some(("tool_not_allowed", "agents.lead.tools"))),
        ("lead", "fixed", Some(("denied_by_rule", "never"))),
        ("helper", "look_up", None),
        ("helper", "send", Some(("tool_not_allowed", "agents.helper.tools"))),
        ("helper", "elsewhere", Some(("tool_not_allowed", "agents.lead.tools"))),
        ("anyone", "other", None),
        ("former", "look_up", Some(("agent_expired", "agents.former.expires"))),
        ("orphan", "look_up", Some(("agent_expired", "agents.former.expires"))),
        ("later", "look_up", None),
        ("stranger", "look_up", Some(("unknown_agent", "agents"))),
        ("Lead", "look_up", Some(("unknown_agent", "agents"))),
    ] {
        let mut guard = desk.guard_with(&["--agent", agent]);
        let answer = guard.call(tool, json!({}));
        match denial {
            None => assert!(answer.passed(), "{agent} {tool}"),
            Some(denial) => assert_eq!(answer.code_and_rule(), denial, "{agent} {tool}"),
        }
    }
    assert!(desk.guard().call("other", json!({})).passed(), "the owner");
}

#[test]
fn an_agent_can_come_from_the_environment_and_counts_apart() {
    let desk = Desk::new(POLICY);
    for agent in ["lead", "helper"] {
        let mut guard = desk.guard_with(&["--agent", agent]);
        assert!(guard.call("each", json!({})).passed(), "{agent}");
        assert_eq!(guard.call("each", json!({})).code_and_rule().1, "pace", "{agent}");
    }
    let mut command = desk.command(&["guard", "-c", desk.policy_file().to_str().unwrap(), "--"]);
    command.arg(crate::desk::server()).env("RECORD", desk.path("record")).env("FARTHING_AGENT", "helper");
    let mut guard = crate::session::Guard::start(command);
    assert_eq!(guard.call("each", json!({})).code_and_rule().1, "pace");
    assert_eq!(guard.call("send", json!({})).code_and_rule().1, "agents.helper.tools");
}
