//! The ready policies of docs/policies: they load without a warning, and are bounded as their first lines say.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use farthing_policy::{Period, Policy, Window};

const DAY: Window = Window::Rolling(Period::Day);

fn ready(name: &str) -> Policy {
    // From the package's folder, where tests run: a path in the program would name the checkout that built it.
    let path = format!("../../docs/policies/{name}.yaml");
    let policy = Policy::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(policy.warnings().is_empty(), "{name}: {:?}", policy.warnings());
    policy
}

fn most(policy: &Policy, window: Window, agent: Option<&str>) -> Option<String> {
    policy.bound(window, agent).most.map(|most| most.to_string())
}

#[test]
fn the_research_agent_is_bounded() {
    let policy = ready("research-agent");
    assert_eq!(most(&policy, DAY, None).as_deref(), Some("$5.00"));
    assert_eq!(most(&policy, Window::Rolling(Period::Month), None).as_deref(), Some("$50.00"));
}

#[test]
fn the_coding_agent_pays_nothing() {
    assert_eq!(most(&ready("coding-agent"), Window::Lifetime, None).as_deref(), Some("$0.00"));
}

#[test]
fn no_one_in_the_team_exceeds_their_part() {
    let policy = ready("team");
    for (agent, day) in [(None, "$20.00"), (Some("researcher"), "$5.00"), (Some("intern"), "$1.00")] {
        assert_eq!(most(&policy, DAY, agent).as_deref(), Some(day), "{agent:?}");
    }
}
