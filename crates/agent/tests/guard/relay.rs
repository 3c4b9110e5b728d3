//! What comes from the client, decisions, cancellations, timeouts.

use std::time::Duration;

use farthing_agent::guard::{Limits, Side, Stream, Taken};

use crate::support::{ONE, Session, Told, allow, call, cancel, deny, result, settle};

#[tokio::test]
async fn every_member_of_a_batch_is_judged() {
    let session = Session::new();
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/x","params":[1.50]}"#;
    let batch = format!("[{}, {} ,{notice},{},7]", call("1", "denied"), call("2", "a"), call("3", "later"));
    let taken = session.relay.from_client(ONE, batch.as_bytes());
    assert_eq!(taken, Taken { forwarded: 2, answered: 2, waiting: 1 });
    assert_eq!(session.to_server(), [format!("[{},{notice}]", call("2", "a"))]);
    let answers = session.to_client().remove(0);
    assert!(answers.starts_with(
        r#"[{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"no"}],"isError":true}},"#
    ));
    assert!(answers.ends_with(r#""message":"a message is an object"}}]"#), "{answers}");
    session.decide("later", allow("t")).await;
    assert_eq!(session.to_server(), [call("3", "later")]);
}

#[tokio::test]
async fn a_batch_of_which_nothing_is_left_is_not_forwarded() {
    let session = Session::new();
    session.client(&format!("[{},{}]", call("1", "denied"), call("\"b\"", "denied")));
    assert!(session.to_server().is_empty());
    assert_eq!(session.to_client().len(), 1);
}

#[tokio::test]
async fn what_is_unknown_passes_as_it_was_written() {
    let session = Session::new();
    for message in [
        r#"{"jsonrpc":"2.0","id":"x","method":"no/such","params":{"a":1.00,"b":[1e400,null]},"extra":{"c":"é"}}"#,
        r#"{"id":12345678901234567890123,"method":"tools/call","params":{"name":"a","arguments":{"n":0.10},"odd":[]}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/no/such","params":"text"}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{"roots":[]}}"#,
        r#"{"jsonrpc":"2.0","id":"s","error":{"code":-1,"message":"no"}}"#,
    ] {
        session.client(message);
        assert_eq!(session.to_server(), [message]);
    }
    assert!(session.to_client().is_empty());
}

#[tokio::test]
async fn an_id_that_is_open_cannot_be_used_again() {
    let session = Session::new();
    session.call("1", "a");
    session.call("1.0", "a");
    assert!(session.to_client()[0].contains("still open"));
    session.server(&result("1"));
    session.call("1", "a");
    session.client(&cancel("1"));
    session.call("1", "a");
    assert!(session.to_client()[1].contains("still open"), "its late answer would pass for the new call's");
    assert_eq!(session.gate.seen.lock().unwrap().len(), 2, "the gate reserves nothing for what is refused");
}

#[tokio::test]
async fn open_requests_are_bounded() {
    let session = Session::with(Limits { max_pending: 2, ..Limits::default() }, Told::default());
    session.call("1", "a");
    session.call("2", "later");
    session.call("3", "a");
    assert!(session.to_client()[0].contains("too many"));
    session.server(&result("1"));
    session.call("3", "a");
    assert_eq!(session.to_client(), [result("1")]);
}

#[tokio::test]
async fn others_pass_while_a_call_waits_for_its_decision() {
    let session = Session::new();
    session.call("1", "later");
    session.call("2", "a");
    session.client(r#"{"id":3,"method":"ping"}"#);
    assert_eq!(session.to_server().len(), 2);
    session.server(&result("1"));
    assert!(session.to_client().is_empty(), "the server can't answer what it has not seen");
    session.decide("later", allow("later")).await;
    assert_eq!(session.to_server(), [call("1", "later")]);
    session.server(&result("1"));
    assert_eq!((session.to_client(), session.ends()), (vec![result("1")], vec!["later answered".to_owned()]));
}

#[tokio::test]
async fn a_decision_that_comes_later_may_be_no() {
    let session = Session::new();
    session.call("1", "later");
    session.decide("later", deny("too much")).await;
    assert!(session.to_server().is_empty());
    assert!(session.to_client()[0].contains("too much"));
}

#[tokio::test]
async fn a_gate_that_panics_while_it_waits_denies() {
    let session = Session::new();
    session.call("1", "later");
    drop(session.gate.take_waiting("later"));
    settle().await;
    assert!(session.to_client()[0].contains("not decided"));
    assert!(session.to_server().is_empty());
}

#[tokio::test]
async fn a_cancellation_before_the_decision_keeps_the_call_from_the_server() {
    let session = Session::new();
    session.call("1", "later");
    session.client(&cancel("1"));
    // The same id may be used at once: the server never saw it.
    session.call("1", "later2");
    session.decide("later", allow("first")).await;
    assert!(session.to_server().is_empty());
    assert_eq!(session.ends(), ["first failed"]);
    session.decide("later2", allow("second")).await;
    assert_eq!(session.to_server(), [call("1", "later2")]);
    assert!(session.to_client().is_empty());
}

#[tokio::test]
async fn a_cancellation_after_the_decision_follows_the_call() {
    let session = Session::new();
    session.call("1", "later");
    session.decide("later", allow("t")).await;
    session.client(&cancel("1"));
    assert_eq!(session.to_server(), [call("1", "later"), cancel("1")]);
    assert_eq!(session.ends(), ["t lost"]);
    session.server(&result("1"));
    assert!(session.to_client().is_empty() && session.ends().is_empty(), "a late answer is dropped");
}

#[tokio::test]
async fn what_is_overdue_is_answered_and_cancelled() {
    let limits = Limits { call_timeout: Duration::from_secs(10), ..Limits::default() };
    let session = Session::with(limits, Told::default());
    assert_eq!(session.relay.expire(), Duration::from_secs(10));
    session.call("1", "a");
    session.client(r#"{"id":"i","method":"initialize"}"#);
    session.call("9", "later");
    session.pass(Duration::from_secs(4));
    session.call("2", "b");
    assert_eq!(session.relay.expire(), Duration::from_secs(6));
    session.to_server();
    session.pass(Duration::from_secs(6));
    assert_eq!(session.relay.expire(), Duration::from_secs(4));
    let answers = session.to_client();
    assert!(answers.len() == 2 && answers.iter().all(|answer| answer.contains("-32001")), "{answers:?}");
    let cancelled = session.to_server();
    assert!(cancelled.len() == 1 && cancelled[0].contains(r#""requestId":1,"#), "{cancelled:?}");
    assert_eq!(session.ends(), ["a lost"]);
    session.server(&result("1"));
    assert!(session.to_client().is_empty());
    assert_eq!(session.relay.pending(ONE), 2);
}

#[tokio::test]
async fn progress_prolongs() {
    let limits = Limits { call_timeout: Duration::from_secs(10), ..Limits::default() };
    let session = Session::with(limits, Told::default());
    session.client(r#"{"id":1,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":"p"}}}"#);
    let progress = r#"{"method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#;
    for _ in 0..5 {
        session.pass(Duration::from_secs(9));
        session.server(progress);
        session.relay.expire();
    }
    assert_eq!(session.to_client(), vec![progress; 5]);
    session.pass(Duration::from_secs(10));
    session.relay.expire();
    assert!(session.to_client()[0].contains("-32001"));
}

#[tokio::test]
async fn a_transport_tells_how_a_stream_failed() {
    let session = Session::new();
    for (number, tool) in [(1, "a"), (2, "b"), (3, "c")] {
        session.relay.from_client(Stream(number), call(&number.to_string(), tool).as_bytes());
    }
    session.relay.failed(Stream(1), "HTTP 503");
    session.relay.lost(Stream(2), "the connection broke off");
    assert_eq!(session.ends(), ["a failed", "b lost"]);
    let sent = session.link.sent.lock().unwrap().clone();
    let streams: Vec<_> =
        sent.iter().filter(|(to, ..)| *to == Side::Client).map(|(_, stream, _)| stream.0).collect();
    assert_eq!(streams, [1, 2]);
    assert_eq!((session.relay.pending(Stream(1)), session.relay.pending(Stream(3))), (0, 1));
}

#[tokio::test]
async fn a_server_that_is_gone_leaves_nobody_waiting() {
    let session = Session::new();
    session.call("1", "a");
    session.call("2", "later");
    session.client(r#"{"id":3,"method":"ping"}"#);
    session.relay.server_gone("the server has exited");
    assert_eq!(session.to_client().len(), 3);
    session.call("4", "a");
    assert!(session.to_client()[0].contains("has exited"));
    session.to_server();
    session.decide("later", allow("t")).await;
    assert!(session.to_server().is_empty());
    assert_eq!(session.ends(), ["a lost", "t failed"]);
}

#[tokio::test]
async fn what_is_too_large_is_answered() {
    let session = Session::with(Limits { max_message: 100, ..Limits::default() }, Told::default());
    let large = "x".repeat(100);
    session.client(&format!(r#"{{"params":"{large}","method":"a","id":5}}"#));
    assert!(session.to_client()[0].contains(r#""id":5,"error":{"code":-32005"#));
    session.client(&format!(r#"{{"result":"{large}","id":"s"}}"#));
    assert!(session.to_server()[0].contains(r#""id":"s","error""#), "the server waits for it");
    session.call("1", "a");
    session.server(&format!(r#"{{"result":"{large}","id":1}}"#));
    assert!(session.to_client()[0].contains(r#""id":1,"error":{"code":-32005"#));
    assert_eq!(session.ends(), ["a lost"]);
    session.to_server();
    session.server(&format!(r#"{{"method":"sampling/createMessage","params":"{large}","id":"q"}}"#));
    assert!(session.to_server()[0].contains(r#""id":"q","error""#));
}
