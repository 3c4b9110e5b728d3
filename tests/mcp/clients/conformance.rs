//! MCP's own conformance suite. Most of its scenarios call tools and prompts of a test server by their names; what they ask
//! for is held by the SDKs' tests beside this one where it is ours (elicitation, progress, images, binary resources).

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use crate::http;
use crate::world::World;
use crate::world::programs::node;

/// What applies to every server, at each revision.
const APPLIES: [(&str, &[&str]); 2] = [
    (
        "2025-11-25",
        &[
            "dns-rebinding-protection",
            "ping",
            "prompts-list",
            "resources-list",
            "server-initialize",
            "server-session-lifecycle",
            "server-sse-multiple-streams",
            "tools-list",
        ],
    ),
    (
        "2026-07-28",
        &[
            "caching",
            "dns-rebinding-protection",
            "http-header-validation",
            "input-required-result-unsupported-methods",
            "prompts-list",
            "resources-list",
            "sep-2164-resource-not-found",
            "server-sse-multiple-streams",
            "server-stateless",
            "tools-list",
        ],
    ),
];

/// What does not apply, by the beginnings of the scenarios' names, and why.
const DOES_NOT_APPLY: [(&str, &str); 16] = [
    ("tools-call-", "calls tools of the test server"),
    ("json-schema-2020-12", "looks at a tool of the test server"),
    ("elicitation-sep1", "calls tools of the test server"),
    ("server-sse-polling", "calls a tool of the test server that closes its stream"),
    ("resources-read-", "reads resources of the test server"),
    ("resources-templates-read", "reads a resource of the test server"),
    ("prompts-get-", "asks for prompts of the test server"),
    ("input-required-result-", "calls tools and prompts of the test server"),
    (
        "http-custom-header-server-validation",
        "needs a tool whose arguments are repeated in headers; none of ours are",
    ),
    ("logging-set-level", "the capability `logging` is not declared"),
    ("completion-complete", "the capability `completions` is not declared"),
    ("resources-subscribe", "`resources.subscribe` is not declared"),
    ("resources-unsubscribe", "`resources.subscribe` is not declared"),
    ("tasks-", "the extension for tasks is not declared"),
    ("sep-2640-skills-", "the extension for skills is not declared"),
    ("sep-2243-", "needs a tool of the test server"),
];

/// Checks within scenarios that apply, for which the test server has tools: `test_missing_capability`,
/// `test_streaming_elicitation`, `test_logging_tool`.
const NEED_A_TOOL: [&str; 4] = [
    "sep-2575-server-rejects-undeclared-capability",
    "sep-2575-missing-capability-http-400",
    "sep-2575-http-server-no-independent-requests-on-stream",
    "sep-2575-server-no-log-without-loglevel",
];

/// What the suite says, scenario by scenario.
async fn suite(server: &http::Server, revision: &str) -> BTreeMap<String, Vec<Value>> {
    let mut command = node("mcp-conformance.mjs");
    command.args(["--url", &server.url, "--token", &server.token, "--revision", revision]);
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn assert_passed(scenario: &str, checks: &[Value]) {
    let checks = checks.iter().filter(|check| !NEED_A_TOOL.contains(&check["id"].as_str().unwrap()));
    let (passed, others): (Vec<_>, Vec<_>) = checks.partition(|check| check["status"] == "SUCCESS");
    assert!(!passed.is_empty(), "{scenario} checked nothing");
    let wrong: Vec<_> =
        others.iter().filter(|check| check["status"] == "FAILURE" || check["status"] == "WARNING").collect();
    assert!(wrong.is_empty(), "{scenario}: {wrong:?}");
}

#[tokio::test]
async fn the_server_conforms_where_the_suite_applies() {
    let world = World::start().await;
    let server = http::start(&world.wallet).await;
    for (revision, applies) in APPLIES {
        let said = suite(&server, revision).await;
        for scenario in applies {
            let checks = said.get(*scenario).unwrap_or_else(|| panic!("{scenario} was not run"));
            assert_passed(scenario, checks);
        }
        // A scenario that is new in the suite belongs into one of the lists.
        for scenario in said.keys().filter(|scenario| !applies.contains(&scenario.as_str())) {
            let why = DOES_NOT_APPLY.iter().find(|(name, _)| scenario.starts_with(name));
            assert!(why.is_some(), "{revision}: {scenario} is in no list");
        }
    }
}
