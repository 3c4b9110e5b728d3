//! Intercept's hole in reloading, which stopped after an atomic rename or a swapped link.

use std::os::unix::fs::symlink;

use serde_json::json;

use crate::desk::Desk;

/// A policy that hides one tool.
fn hiding(tool: &str) -> String {
    format!("version: 1\nhide: [{tool}]\n")
}

#[test]
fn hole_reload_stops_after_an_atomic_rename() {
    let desk = Desk::new(&hiding("zero"));
    let mut guard = desk.guard();
    for tool in ["one", "two", "three"] {
        assert!(guard.call(tool, json!({})).passed());
        // `policy` renames a new file over the old one.
        desk.policy(&hiding(tool));
        guard.hear("another policy is in force");
        assert!(!guard.call(tool, json!({})).passed(), "{tool}");
    }
    std::fs::write(desk.policy_file(), hiding("four")).unwrap();
    guard.hear("another policy is in force");
    assert!(!guard.call("four", json!({})).passed(), "written in place");
    assert!(guard.call("three", json!({})).passed());
}

#[test]
fn hole_reload_stops_after_a_config_map_is_swapped() {
    let desk = Desk::new("version: 1\nhide: [zero]\n");
    std::fs::remove_file(desk.policy_file()).unwrap();
    for version in ["one", "two", "three"] {
        std::fs::create_dir(desk.path(version)).unwrap();
        std::fs::write(desk.path(version).join("policy.yaml"), hiding(version)).unwrap();
    }
    // As Kubernetes mounts it: policy.yaml -> ..data/policy.yaml, ..data -> the version in force.
    symlink("one", desk.path("..data")).unwrap();
    symlink("..data/policy.yaml", desk.policy_file()).unwrap();
    let mut guard = desk.guard();
    assert!(!guard.call("one", json!({})).passed());
    for version in ["two", "three"] {
        assert!(guard.call(version, json!({})).passed());
        symlink(version, desk.path("..data_tmp")).unwrap();
        std::fs::rename(desk.path("..data_tmp"), desk.path("..data")).unwrap();
        guard.hear("another policy is in force");
        assert!(!guard.call(version, json!({})).passed(), "{version}");
    }
}

#[test]
fn a_file_that_is_gone_changes_nothing_until_it_is_back() {
    let desk = Desk::new(&hiding("one"));
    let mut guard = desk.guard();
    assert!(!guard.call("one", json!({})).passed());
    std::fs::remove_file(desk.policy_file()).unwrap();
    guard.hear("the policy before stays in force");
    assert!(!guard.call("one", json!({})).passed());
    desk.policy(&hiding("two"));
    guard.hear("another policy is in force");
    assert!(guard.call("one", json!({})).passed());
}
