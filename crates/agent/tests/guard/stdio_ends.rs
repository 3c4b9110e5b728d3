//! How the guard around a real child ends.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Guarded, calling};

fn signal(guarded: &Guarded, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(guarded.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_child_that_exits_leaves_nobody_waiting() {
    let mut guarded = Guarded::start(&[]);
    for number in 0..3 {
        guarded.call(number, "silent", r#"{"ticket":"t"}"#);
    }
    guarded.call(3, "echo", r#"{"later":60000}"#);
    guarded.call(4, "exit", r#"{"code":7}"#);
    let begin = Instant::now();
    let mut answers: Vec<_> = (0..5).map(|_| guarded.line()).collect();
    answers.sort();
    for (number, answer) in answers.iter().enumerate() {
        assert!(answer.contains(&format!("\"id\":{number},\"error\":{{\"code\":-32000")), "{answer}");
    }
    // Our input is still open.
    assert_eq!(guarded.exit().code(), Some(7));
    assert!(begin.elapsed() < Duration::from_secs(30));
    assert_eq!(
        (guarded.end(), guarded.end(), guarded.end()),
        ("\"t\" lost".into(), "\"t\" lost".into(), "\"t\" lost".into())
    );
}

#[test]
fn exit_codes_are_the_childs() {
    let mut guarded = Guarded::start(&[]);
    guarded.call(1, "abort", "{}");
    assert_eq!(guarded.exit().code(), Some(128 + 6));
    let mut guarded = Guarded::start(&[]);
    guarded.close();
    assert_eq!(guarded.exit().code(), Some(0));
    let mut guarded = Guarded::around(&[], &["sh", "-c", "exit 42"]);
    assert_eq!(guarded.exit().code(), Some(42));
    let mut guarded = Guarded::around(&[], &["/no/such/program"]);
    assert!(guarded.end().contains("can't start \"/no/such/program\""));
    assert_eq!(guarded.exit().code(), Some(99));
}

#[test]
fn what_is_asked_before_the_input_ends_is_answered() {
    let mut guarded = Guarded::start(&[]);
    // In one piece, so that they are heard at the same time.
    guarded.send(&[calling(1, "echo", r#"{"later":400}"#), calling(2, "echo", "{}")].join("\n"));
    guarded.close();
    assert!(guarded.line().contains("\"id\":2"));
    assert!(guarded.line().contains("\"id\":1"));
    assert_eq!(guarded.exit().code(), Some(0));
}

#[test]
fn the_last_answer_before_the_exit_arrives() {
    let script = r#"read line; i=0; while [ $i -lt 20 ]; do printf '{"method":"n","i":"%s"}\n' $i; i=$((i+1)); done; printf '{"id":1,"result":{}}'"#;
    let mut guarded = Guarded::around(&[], &["sh", "-c", script]);
    guarded.send(r#"{"id":1,"method":"ping"}"#);
    for _ in 0..20 {
        assert!(guarded.line().contains("\"method\""));
    }
    assert_eq!(guarded.line(), r#"{"id":1,"result":{}}"#);
}

#[test]
fn a_grandchild_that_holds_the_output_holds_nobody_up() {
    let mut guarded = Guarded::around(&[], &["sh", "-c", "sleep 30 2>/dev/null & exit 5"]);
    let begin = Instant::now();
    assert_eq!(guarded.exit().code(), Some(5));
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_child_that_does_not_leave_is_made_to() {
    let stubborn = "trap '' TERM; echo '{\"method\":\"ready\"}'; while :; do sleep 0.05; done";
    let mut guarded = Guarded::around(&["grace=150"], &["sh", "-c", stubborn]);
    assert!(guarded.line().contains("ready"));
    let begin = Instant::now();
    guarded.close();
    assert_eq!(guarded.exit().code(), Some(128 + 9));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let mut guarded = Guarded::around(&["grace=150"], &["sh", "-c", "while :; do sleep 0.05; done"]);
    guarded.close();
    assert_eq!(guarded.exit().code(), Some(128 + 15));
}

#[test]
fn signals_are_passed_on() {
    let trap =
        r#"trap 'exit 21' INT; trap 'exit 22' TERM; echo '{"method":"ready"}'; while :; do sleep 0.05; done"#;
    for (number, code) in [(Signal::INT, 21), (Signal::TERM, 22)] {
        let mut guarded = Guarded::around(&[], &["sh", "-c", trap]);
        assert!(guarded.line().contains("ready"));
        signal(&guarded, number);
        let status = guarded.exit();
        assert_eq!((status.code(), status.signal()), (Some(code), None));
    }
}

#[test]
fn a_child_that_closes_its_output_is_no_server() {
    let mut guarded =
        Guarded::around(&["grace=150"], &["sh", "-c", "read line; exec >&-; while :; do sleep 0.05; done"]);
    guarded.send(r#"{"id":1,"method":"ping"}"#);
    assert!(guarded.line().contains("-32000"));
    assert_eq!(guarded.exit().code(), Some(128 + 15));
}

#[test]
fn a_gate_that_panics_ends_the_session() {
    let mut guarded = Guarded::start(&["grace=2000"]);
    guarded.call(1, "echo", r#"{"panic":1}"#);
    assert_eq!(guarded.exit().code(), Some(0));
}
