//! Whatever comes, from either side.

use farthing_policy::json::Json;
use proptest::prelude::*;

use crate::support::Session;

/// Messages that are nearly right.
fn message() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("\"a\"".to_owned()),
        Just("null".to_owned()),
        Just("1.0".to_owned()),
        Just("\"tools/call\"".to_owned()),
        Just("\"tools/list\"".to_owned()),
        Just("\"notifications/cancelled\"".to_owned()),
        Just("\"notifications/progress\"".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just(r#"{"name":"a","arguments":{"x":1.50,"y":[{}]}}"#.to_owned()),
        Just(r#"{"name":"a","arguments":[]}"#.to_owned()),
        Just(r#"{"name":"denied","Arguments":{}}"#.to_owned()),
        Just(r#"{"requestId":1}"#.to_owned()),
        Just(r#"{"tools":[{"name":"hidden"},{"name":"a"}]}"#.to_owned()),
        Just(r#"{"_meta":{"progressToken":1},"name":"a"}"#.to_owned()),
    ];
    let key = prop::sample::select(vec!["id", "method", "params", "result", "error", "jsonrpc", "ID", "x"]);
    let object = prop::collection::vec((key, value), 0..5).prop_map(|entries| {
        let entries: Vec<_> = entries.into_iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", entries.join(","))
    });
    let call = prop::sample::select(vec!["a", "free", "denied", "hidden"])
        .prop_flat_map(|tool| (Just(tool), 0..9u8, "[a-z]{1,3}", "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?"))
        .prop_map(|(tool, id, key, number)| {
            format!(r#"{{"id":{id},"method":"tools/call","params":{{ "name":"{tool}", "arguments":{{"{key}":{number}}}}}}}"#)
        });
    let one = prop_oneof![object, call].boxed();
    let batch =
        prop::collection::vec(one.clone(), 0..4).prop_map(|members| format!("[{}]", members.join(" , ")));
    prop_oneof![4 => one, 1 => batch]
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => message().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (message(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(message, at, byte)| {
            let mut bytes = message.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes
        }),
    ]
}

/// The calls in what the server got, as the gate would see them.
fn calls(message: &str) -> Vec<(String, String)> {
    let json = Json::parse(message.as_bytes()).unwrap();
    let members = match &json {
        Json::Array(members) => members.as_slice(),
        one => std::slice::from_ref(one),
    };
    let calls =
        members.iter().filter(|member| member.get("method").and_then(Json::as_str) == Some("tools/call"));
    calls
        .map(|member| {
            let params = member.get("params").unwrap();
            let arguments = params.get("arguments").map_or("{}".to_owned(), Json::to_string);
            (params.get("name").unwrap().as_str().unwrap().to_owned(), arguments)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_server_gets_is_what_the_gate_allowed(
        messages in prop::collection::vec((any::<bool>(), noise()), 0..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let session = Session::new();
        for (from_client, bytes) in messages {
            if from_client {
                session.relay.from_client(crate::support::ONE, &bytes);
            } else {
                session.relay.from_server(crate::support::ONE, &bytes);
            }
        }
        session.relay.expire();
        let got: Vec<_> = session.to_server().iter().flat_map(|message| calls(message)).collect();
        let mut seen = session.gate.seen.lock().unwrap().clone();
        seen.retain(|(tool, _)| tool != "denied");
        prop_assert_eq!(got, seen);
        for message in session.to_client() {
            prop_assert!(!message.contains('\n'));
        }
        session.relay.server_gone("over");
        prop_assert_eq!(session.relay.pending(crate::support::ONE), 0);
        let tickets = session.gate.seen.lock().unwrap().iter().filter(|(tool, _)| tool != "denied" && tool != "free").count();
        prop_assert_eq!(session.ends().len(), tickets, "each ticket has one end");
    }

    #[test]
    fn no_hidden_tool_is_ever_listed(spoilt in noise(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _entered = runtime.enter();
        let session = Session::new();
        session.client(r#"{"id":1,"method":"tools/list"}"#);
        let mut list = br#"{"id":1,"result":{"tools":[{"name":"hidden"}],"x":{}}}"#.to_vec();
        let at = at.index(list.len());
        list[at] = byte;
        session.relay.from_server(crate::support::ONE, &spoilt);
        session.relay.from_server(crate::support::ONE, &list);
        for message in session.to_client() {
            // A tool with another name is none that was to be hidden; one that decodes to it must not come through.
            let Ok(json) = Json::parse(message.as_bytes()) else { continue };
            let tools = json.get("result").and_then(|result| result.get("tools")).and_then(Json::as_array);
            let names = tools.unwrap_or_default().iter().filter_map(|tool| tool.get("name")).filter_map(Json::as_str);
            prop_assert!(names.into_iter().all(|name| name != "hidden"));
        }
    }
}

/// Found by the property above: some readers take it for an answer.
#[test]
fn a_request_that_is_an_answer_too_shows_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    for id in ["\"id\":1,", ""] {
        let session = Session::new();
        session.client(r#"{"id":1,"method":"tools/list"}"#);
        let message = format!("{{{id}\"method\":\"x\",\"result\":{{\"tools\":[{{\"name\":\"hidden\"}}]}}}}");
        session.relay.from_server(crate::support::ONE, message.as_bytes());
        assert!(session.to_client().iter().all(|message| !message.contains("hidden")), "{id}");
    }
}
