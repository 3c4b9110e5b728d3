//! Who may come to a guard that listens.

use farthing_agent::guard::http::{HttpError, Secret, Transport};
use http::Method;

use crate::client::Served;
use crate::support::{INITIALIZE, result};
use crate::upstream::Upstream;

#[tokio::test]
async fn strange_hosts_and_origins_are_refused_before_anything_else() {
    let upstream = Upstream::start().await;
    for transport in [Transport::Http, Transport::Sse] {
        let served = Served::start(&upstream, |config| config.transport = transport).await;
        for headers in [
            [("host", "evil.example"), ("x", "")],
            [("host", "localhost.evil.example:80"), ("x", "")],
            [("host", "localhost"), ("origin", "https://evil.example")],
            [("host", "localhost"), ("origin", "null")],
        ] {
            for (method, path) in [
                (Method::POST, "/mcp"),
                (Method::GET, "/mcp"),
                (Method::DELETE, "/mcp"),
                (Method::GET, "/sse"),
                (Method::POST, "/messages?sessionId=1"),
                (Method::OPTIONS, "/"),
            ] {
                let answer = served.ask(method.clone(), path, &headers, "{}").await;
                assert_eq!(answer.status, 403, "{method} {path} {headers:?}");
            }
        }
        assert!(served.infos.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn named_hosts_and_origins_may_come() {
    let upstream = Upstream::start().await;
    let served = Served::start(&upstream, |config| {
        config.allow_hosts = vec!["guard.example".to_owned()];
        config.allow_origins = vec!["https://app.example".to_owned()];
    })
    .await;
    for (host, origin) in [
        ("guard.example:8080", "https://app.example"),
        ("localhost:1", "http://localhost:5173"),
        ("127.0.0.1", "http://127.0.0.1:1"),
    ] {
        let answer = served.post(&[("host", host), ("origin", origin)], "{").await;
        assert_eq!(answer.status, 400, "{host} {origin}");
    }
}

#[tokio::test]
async fn the_token_opens_the_door_and_goes_no_further() {
    let mut upstream = Upstream::start().await;
    let served =
        Served::start(&upstream, |config| config.token = Some(Secret::new("s3cret".to_owned()))).await;
    for headers in [vec![], vec![("authorization", "Bearer s3cre")], vec![("authorization", "s3cret")]] {
        let answer = served.post(&headers, INITIALIZE).await;
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, Some("Bearer")));
    }
    let serve = async {
        let asked = upstream.post("initialize").await;
        assert_eq!(asked.header("authorization"), None);
        asked.json(&result(1, "{}"));
    };
    let headers = [("authorization", "Bearer s3cret")];
    let body = INITIALIZE.replace("\"i\"", "1");
    tokio::join!(served.post(&headers, &body), serve);
}

#[tokio::test]
async fn other_machines_need_a_token() {
    let upstream = Upstream::start().await;
    let open = Served::try_start(&upstream, |config| config.bind = ([0, 0, 0, 0], 0).into()).await;
    assert!(matches!(open, Err(HttpError::NeedsToken { .. })));
    let served = Served::start(&upstream, |config| {
        config.bind = ([0, 0, 0, 0], 0).into();
        config.token = Some(Secret::new("s3cret".to_owned()));
    })
    .await;
    assert_eq!(served.post(&[], INITIALIZE).await.status, 401);
}
