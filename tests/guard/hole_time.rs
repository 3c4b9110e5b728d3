//! Intercept's holes in time: windows that end, clocks that step back, and midnight.

use serde_json::json;

use crate::desk::{DAY, Desk, HOUR, MINUTE};

#[test]
fn hole_a_refund_after_the_windows_end_erases_the_new_window() {
    let mut desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 2/day}]}}\n");
    let mut yesterday = desk.at(10 * HOUR).guard();
    let held: Vec<u64> = (0..2).map(|_| yesterday.ask("t", json!({"do": "hold"}))).collect();
    assert!(!yesterday.call("t", json!({})).passed(), "both were taken");
    let mut today = desk.at(DAY + 10 * HOUR).guard();
    assert!(today.call("t", json!({})).passed() && today.call("t", json!({})).passed());
    assert!(!today.call("t", json!({})).passed());
    yesterday.release("error");
    for id in held {
        assert_eq!(yesterday.answer(id).error_code(), -32050);
    }
    desk.await_ends(2);
    assert!(!today.call("t", json!({})).passed(), "what was given back was yesterday's");
    assert_eq!(desk.called().len(), 4);
    desk.assert_whole();
}

#[test]
fn hole_a_clock_that_steps_back_reopens_the_cap() {
    let mut desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 1/day}]}}\n");
    for (day, passes) in [(3, true), (3, false), (1, false), (2, false), (3, false), (4, true), (0, false)] {
        let mut guard = desk.at(day * DAY + 10 * HOUR).guard();
        assert_eq!(guard.call("t", json!({})).passed(), passes, "day {day}");
    }
    desk.assert_whole();
}

#[test]
fn hole_midnight_allows_twice_the_cap() {
    let mut desk = Desk::new(
        r#"
version: 1
tools:
  day: {rules: [{name: r, rate_limit: 1/day}]}
  day_rolling: {rules: [{name: r, rate_limit: 1/24 hours}]}
  hour: {rules: [{name: r, rate_limit: 1/hour}]}
  hour_rolling: {rules: [{name: r, rate_limit: 1/60 minutes}]}
  minute_rolling: {rules: [{name: r, rate_limit: 1/60 seconds}]}
  week_rolling: {rules: [{name: r, rate_limit: 1/7 days}]}
  ever: {rules: [{name: r, rate_limit: 1/lifetime}]}
"#,
    );
    let tools = ["day", "day_rolling", "hour", "hour_rolling", "minute_rolling", "week_rolling", "ever"];
    let before = DAY - 10 * MINUTE;
    for (time, passing) in [
        (before, &tools[..]),
        (DAY + 10 * MINUTE, &["day", "hour", "minute_rolling"]),
        (DAY + 55 * MINUTE, &["hour_rolling", "minute_rolling"]),
        (DAY + 55 * MINUTE + 30, &[]),
        (before + DAY + 5 * MINUTE, &["day_rolling", "hour", "hour_rolling", "minute_rolling"]),
    ] {
        let mut guard = desk.at(time).guard();
        let passed: Vec<&str> =
            tools.into_iter().filter(|tool| guard.call(tool, json!({})).passed()).collect();
        assert_eq!(passed, passing, "{time} s");
    }
}

#[test]
fn session_windows_end_with_the_run_or_span_those_of_one_name() {
    let desk = Desk::new("version: 1\ntools: {t: {rules: [{name: r, rate_limit: 1/session}]}}\n");
    for (args, passes) in [
        (&[][..], true),
        (&[], true),
        (&["--session", "s1"], true),
        (&["--session", "s1"], false),
        (&["--session", "s2"], true),
    ] {
        let mut guard = desk.guard_with(args);
        assert_eq!(guard.call("t", json!({})).passed(), passes, "{args:?}");
        assert!(!guard.call("t", json!({})).passed(), "{args:?}");
    }
}
