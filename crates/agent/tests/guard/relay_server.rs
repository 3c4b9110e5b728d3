//! What comes from the server, and our own questions to the client.

use std::time::Duration;

use farthing_agent::guard::Limits;
use farthing_policy::json::Json;

use crate::support::{Session, Told, call, result, settle};

#[tokio::test]
async fn hidden_tools_are_taken_out_of_the_list() {
    let session = Session::new();
    session.client(r#"{"id":1,"method":"tools/list"}"#);
    session
        .server(r#"{"id":1, "result":{"tools":[{"name":"a"},{"name":"hidden"}],"nextCursor":"c","x":1.0}}"#);
    assert_eq!(
        session.to_client(),
        [r#"{"id":1,"result":{"tools":[{"name":"a"}],"nextCursor":"c","x":1.0}}"#]
    );
    session.client(r#"{"id":2,"method":"tools/list"}"#);
    session.server(r#"{"id":2,"result":{"tools":[{"name":"a","name":"hidden"}]}}"#);
    assert!(session.to_client()[0].contains("can't be read"));
}

#[tokio::test]
async fn answers_pass_as_the_bytes_they_came_in() {
    let session = Session::new();
    session.call("1", "free");
    let odd = "{ \"id\":1,\"result\":{\"a\":\"\\ud800\", \"a\":1e5 } }";
    session.server(&format!(" {odd}\r"));
    assert_eq!(session.to_client(), [odd]);
    session.call("2", "ticket");
    session.server(odd.replace("\"id\":1", "\"id\":2").as_str());
    assert_eq!(session.to_client().len(), 1, "what it cost is spent, so the client gets it");
    assert_eq!(session.ends(), ["ticket lost"]);
}

#[tokio::test]
async fn no_line_break_passes() {
    let session = Session::new();
    session.call("1", "free");
    session.server("{\n\"id\":1,\r\n\"result\":{\n}}");
    assert_eq!(session.to_client(), ["{ \"id\":1,  \"result\":{ }}"]);
}

#[tokio::test]
async fn the_gate_may_change_an_answer() {
    let session = Session::with(Limits::default(), Told { changes: true, ..Told::default() });
    session.call("1", "a");
    session.server(r#"{"id":1,"result":{"isError":true}}"#);
    assert_eq!(session.to_client(), [r#"{"id":1,"result":{"isError":true},"changed":true}"#]);
    session.call("2", "a");
    session.server(r#"{"id":2,"error":{"code":1,"message":"m"}}"#);
    assert_eq!(session.to_client(), [r#"{"id":2,"error":{"code":1,"message":"m"},"changed":true}"#]);
}

#[tokio::test]
async fn what_answers_nothing_is_dropped_and_what_is_unclear_ends_its_call() {
    let session = Session::new();
    session.call("1", "a");
    for message in [
        r#"{"id":7,"result":{}}"#,
        r#"{"id":null,"result":{}}"#,
        "Server started on stdio",
        r#"{"id":1,"result":{}"#,
        r#"{"jsonrpc":"2.0"}"#,
        "",
    ] {
        session.server(message);
        assert!(session.to_client().is_empty(), "{message}");
    }
    session.server(r#"{"id":null,"error":{"code":-32700,"message":"m"}}"#);
    assert_eq!(session.to_client().len(), 1);
    session.server(r#"{"id":1,"result":{},"Result":{}}"#);
    assert!(session.to_client()[0].contains("unclear"));
    session.call("2", "b");
    session.server(r#"{"id":2,"result":{},"error":{}}"#);
    assert!(session.to_client()[0].contains("not one of"));
    assert_eq!(session.ends(), ["a lost", "b lost"]);
}

#[tokio::test]
async fn a_batch_from_the_server_is_looked_into() {
    let session = Session::new();
    session.client(&format!("[{},{}]", call("1", "a"), r#"{"id":2,"method":"tools/list"}"#));
    session.server(&format!(
        r#"[{},{},{{"id":2,"result":{{"tools":[{{"name":"hidden"}}]}}}}]"#,
        result("1"),
        result("9")
    ));
    assert_eq!(session.to_client(), [format!(r#"[{},{{"id":2,"result":{{"tools":[]}}}}]"#, result("1"))]);
    assert_eq!(session.ends(), ["a answered"]);
}

#[tokio::test]
async fn requests_of_the_server_and_their_answers_pass() {
    let session = Session::new();
    for id in 0..50 {
        session.call(&id.to_string(), "a");
    }
    session.to_server();
    let question = r#"{"id":1,"method":"elicitation/create","params":{"message":"?"}}"#;
    session.server(question);
    assert_eq!(session.to_client(), [question]);
    let answer = r#"{"id":1,"result":{"action":"accept"}}"#;
    session.client(answer);
    assert_eq!(session.to_server(), [answer]);
    assert_eq!(session.relay.pending(crate::support::ONE), 50);
}

fn id_of(message: &str) -> String {
    Json::parse(message.as_bytes()).unwrap().get("id").unwrap().to_string()
}

#[tokio::test]
async fn a_question_of_ours_is_answered_to_us_alone() {
    let session = Session::new();
    session.call("1", "asks");
    settle().await;
    let question = session.to_client().remove(0);
    assert!(question.contains(r#""method":"elicitation/create","params":"sure?""#), "{question}");
    let id = id_of(&question);
    assert!(id.starts_with("\"farthing-"));
    session.server(&format!(r#"{{"id":{id},"method":"elicitation/create"}}"#));
    assert!(session.to_server()[0].contains("the guard's"), "a server can't use our ids");
    session.client(&format!(r#"{{"id":{id},"result":{{"action":"accept"}}}}"#));
    settle().await;
    assert!(session.to_server().is_empty());
    assert!(session.to_client()[0].contains("accept"));
    session.client(&format!(r#"{{"id":{id},"result":{{"action":"accept"}}}}"#));
    assert!(session.to_server().is_empty(), "a second answer goes nowhere");
    session.client(r#"{"id":"farthing-1","result":{}}"#);
    assert_eq!(session.to_server().len(), 1, "another guard's question is none of ours");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_nobody_answers_is_cancelled() {
    let limits = Limits { ask_timeout: Duration::from_secs(3), ..Limits::default() };
    let session = Session::with(limits, Told::default());
    session.call("1", "asks");
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sent = session.to_client();
    assert!(sent[1].contains("notifications/cancelled") && sent[1].contains(&id_of(&sent[0])), "{sent:?}");
    assert!(sent[2].contains("no answer in time"));
    session.call("2", "asks");
    settle().await;
    session.relay.server_gone("over");
    settle().await;
    let sent = session.to_client();
    assert!(sent.len() == 3 && sent.iter().any(|message| message.contains("-32000")), "{sent:?}");
}

#[tokio::test]
async fn a_client_may_refuse_a_question() {
    let session = Session::new();
    session.call("1", "asks");
    settle().await;
    let id = id_of(&session.to_client()[0]);
    session.client(&format!(r#"{{"id":{id},"error":{{"code":-32601,"message":"m"}}}}"#));
    settle().await;
    assert!(session.to_client()[0].contains("refused the question"));
}
