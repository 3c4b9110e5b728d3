//! Asking a server for its tools.

use std::ffi::OsString;
use std::time::Duration;

use farthing_agent::guard::http::{ScanError, scan_http, scan_stdio};
use http::Method;

use crate::support::result;
use crate::upstream::{SOON, Upstream};

fn greeting() -> String {
    result(0, r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}}}"#)
}

#[tokio::test]
async fn every_page_over_http() {
    let mut upstream = Upstream::start().await;
    let url = upstream.url.clone();
    let headers = ["X-Key: s3cret".to_owned()];
    let scan = scan_http(&url, &headers, SOON);
    let serve = async {
        let asked = upstream.post("initialize").await;
        assert_eq!(asked.header("x-key"), Some("s3cret"));
        asked.json_with(&[("mcp-session-id", "1")], &greeting());
        upstream.post("initialized").await.status(202);
        let asked = upstream.post("tools/list").await;
        assert!(!asked.body.contains("cursor"));
        let events = asked.events();
        events.data(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
        let pong = upstream.post(r#""p""#).await;
        assert_eq!(pong.body, r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        pong.status(202);
        events.data(&result(1, r#"{"tools":[{"name":"a","x":1}],"nextCursor":"c"}"#));
        let asked = upstream.post("tools/list").await;
        assert!(asked.body.contains(r#""cursor":"c""#), "{}", asked.body);
        asked.json(&result(2, r#"{"tools":[{"name":"b"}]}"#));
        upstream.expect(Method::DELETE, "").await.status(200);
    };
    let (tools, ()) = tokio::join!(scan, serve);
    let tools: Vec<_> = tools.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(tools, [r#"{"name":"a","x":1}"#, r#"{"name":"b"}"#]);
}

#[tokio::test]
async fn a_server_of_2026_is_asked_without_a_session() {
    let mut upstream = Upstream::start().await;
    let url = upstream.url.clone();
    let serve = async {
        let told = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"unsupported"}}"#;
        upstream.post("initialize").await.refuse(400, &[], told);
        let asked = upstream.post("tools/list").await;
        assert_eq!(asked.header("mcp-method"), Some("tools/list"));
        assert_eq!(asked.header("mcp-protocol-version"), Some("2026-07-28"));
        asked.json(&result(1, r#"{"tools":[{"name":"a"}],"resultType":"complete"}"#));
    };
    let (tools, ()) = tokio::join!(scan_http(&url, &[], SOON), serve);
    assert_eq!(tools.unwrap().len(), 1);
}

#[tokio::test]
async fn lists_that_are_none_are_errors() {
    for (list, why) in [
        (r#"{"tools":{}}"#, "no list"),
        (r#"{"tools":[{"title":"a"}]}"#, "no name"),
        (r#"{"tools":[],"nextCursor":"again"}"#, "100 pages"),
    ] {
        let mut upstream = Upstream::start().await;
        let url = upstream.url.clone();
        let serve = async {
            upstream.post("initialize").await.json(&greeting());
            upstream.post("initialized").await.status(202);
            for page in 1.. {
                upstream.post("tools/list").await.json(&result(page, list));
            }
        };
        tokio::select! {
            tools = scan_http(&url, &[], SOON) => {
                let error = tools.unwrap_err().to_string();
                assert!(error.contains(why), "{error}");
            }
            () = serve => {}
        }
    }
    let upstream = Upstream::start().await;
    let slow = scan_http(&upstream.url, &[], Duration::from_millis(200)).await;
    assert!(matches!(slow, Err(ScanError::TimedOut { .. })));
    assert!(matches!(scan_http("file:///", &[], SOON).await, Err(ScanError::Http(_))));
}

#[tokio::test]
async fn every_page_of_a_child_process() {
    let shell = |script: &str| ["sh", "-c", script].map(OsString::from).to_vec();
    let script = format!(
        "read a; echo 'a line of log'; echo '{}'; read b; read c; echo '{}'; read d; echo '{}'; cat",
        greeting(),
        result(1, r#"{"tools":[{"name":"a"}],"nextCursor":"c"}"#),
        result(2, r#"{"tools":[{"name":"b"}]}"#),
    );
    assert_eq!(scan_stdio(&shell(&script), SOON).await.unwrap().len(), 2);
    assert!(matches!(scan_stdio(&shell("exit 1"), SOON).await, Err(ScanError::Closed)));
    let slow = scan_stdio(&shell("exec sleep 60"), Duration::from_millis(200)).await;
    assert!(matches!(slow, Err(ScanError::TimedOut { .. })));
    let missing = scan_stdio(&[OsString::from("/no/such/program")], SOON).await;
    assert!(matches!(missing, Err(ScanError::Process { .. })));
    assert!(matches!(scan_stdio(&[], SOON).await, Err(ScanError::NoCommand)));
}
