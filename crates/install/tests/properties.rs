//! Whatever a file looks like: the entry goes in, everything else stays, and the entry comes out again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use farthing_install::{Client, Server};
use proptest::prelude::*;
use proptest::sample::select;

fn server() -> Server {
    Server {
        name: "farthing".to_owned(),
        command: "/opt/with \"quotes\"/farthing".to_owned(),
        args: ["mcp", "--home", "/home/jö\\x"].map(str::to_owned).to_vec(),
    }
}

/// Whether `part` is what is left of `whole` when something is left out.
fn is_left_of(part: &str, whole: &str) -> bool {
    let mut whole = whole.chars();
    part.chars().all(|wanted| whole.any(|found| found == wanted))
}

/// The entry goes in and comes out again, and nothing else is touched. `exact`: even without a backup.
fn goes_in_and_out(client: Client, before: &str, exact: bool) -> Result<(), TestCaseError> {
    let after = client
        .with(Some(before), &server())
        .map_err(|error| TestCaseError::fail(format!("{error}\n{before}")))?;
    prop_assert_eq!(client.with(Some(&after), &server()), Ok(after.clone()), "not settled");
    if exact {
        prop_assert!(is_left_of(before, &after), "something is missing in\n{}", after);
    }
    let backups = ["[]".to_owned(), before.to_owned()];
    prop_assert_eq!(client.without(&after, "farthing", &backups), Ok(Some(before.to_owned())));
    let alone = client.without(&after, "farthing", &[]).unwrap();
    if exact {
        prop_assert_eq!(alone.as_deref(), Some(before), "by way of\n{}", after);
    }
    let alone = alone.unwrap_or_default();
    prop_assert_eq!(client.without(&alone, "farthing", &[]), Ok(Some(alone)));
    Ok(())
}

/// White space and comments, where any may stand.
fn gap() -> impl Strategy<Value = String> {
    let one = select(vec![
        "",
        "",
        "",
        " ",
        "\n",
        "\n  ",
        "\t",
        "\r\n    ",
        " /* } \" , */ ",
        " // { \" ,\n",
        "/**/",
    ]);
    proptest::collection::vec(one, 0..3).prop_map(|gaps| gaps.concat())
}

fn value() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "1",
        "-0.5e9",
        "true",
        "null",
        r#""""#,
        r#""a \" // { b""#,
        r#""mcpServers""#,
        "[]",
        "{}",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 24, 4, |inner| {
        let list = (proptest::collection::vec(item(inner.clone()), 0..4), any::<bool>(), gap())
            .prop_map(|(items, comma, end)| format!("[{}{}{end}]", items.join(","), trailing(comma, &items)));
        prop_oneof![list, object(inner, "k")]
    })
}

fn item(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (gap(), value, gap()).prop_map(|(before, value, after)| format!("{before}{value}{after}"))
}

/// An object whose keys differ.
fn object(value: impl Strategy<Value = String>, prefix: &'static str) -> impl Strategy<Value = String> {
    let pairs = proptest::collection::vec((gap(), gap(), item(value)), 0..4);
    (pairs, any::<bool>(), gap()).prop_map(move |(pairs, comma, end)| {
        let pairs: Vec<String> = pairs
            .iter()
            .enumerate()
            .map(|(index, (before, after, value))| format!("{before}\"{prefix}{index}\"{after}:{value}"))
            .collect();
        format!("{{{}{}{end}}}", pairs.join(","), trailing(comma, &pairs))
    })
}

fn trailing(comma: bool, items: &[String]) -> &'static str {
    if comma && !items.is_empty() { "," } else { "" }
}

/// A configuration; with whether it has servers of others, or none and no place for them.
fn json() -> impl Strategy<Value = (String, bool)> {
    let servers = prop_oneof![Just(None), object(value(), "s").prop_map(Some)];
    let parts = (select(vec!["", "\u{feff}"]), gap(), gap(), gap(), object(value(), "k"), servers, gap());
    parts.prop_map(|(bom, start, before, between, object, servers, end)| {
        let rest = object.strip_prefix('{').unwrap();
        let is_empty = !rest.contains("\"k0\"");
        let (text, exact) = match servers {
            None => (object.clone(), !is_empty),
            Some(servers) => {
                let comma = if is_empty { "" } else { "," };
                let text = format!("{{{before}\"mcpServers\":{between}{servers}{comma}{rest}");
                (text, servers.contains("\"s0\""))
            }
        };
        (format!("{bom}{start}{text}{end}"), exact)
    })
}

fn toml() -> impl Strategy<Value = (String, bool)> {
    let root =
        select(vec!["", "# top\n", "a = 1 # one\n", "b = \"\"\"\n[mcp_servers.farthing]\n\"\"\"\n", "\n"]);
    let tables = proptest::sample::subsequence((0..6).collect::<Vec<usize>>(), 0..6);
    let all: Vec<&'static str> = vec![
        "[mcp_servers.x]\nurl = \"u\" # c\n",
        "[mcp_servers.y]\ncommand = 'z'\n\n[mcp_servers.y.env]\nA = \"1\"\n",
        "[[list]]\nn = 1\n[[list]]\nn = 2\n",
        "[\"quo.ted\".t]\nd = 1979-05-27T07:32:00Z\n",
        "# alone\n\n",
        "[mcp_servers.z] # head\nargs = [\n  \"a\", # one\n]\n",
    ];
    (root, tables, any::<bool>(), any::<bool>()).prop_map(move |(root, tables, crlf, cut)| {
        let mut text = root.to_owned() + &tables.iter().map(|index| all[*index]).collect::<String>();
        if cut {
            text.truncate(text.trim_end_matches('\n').len());
        }
        let exact = !cut && !text.trim().is_empty();
        (if crlf { text.replace('\n', "\r\n") } else { text }, exact)
    })
}

fn yaml() -> impl Strategy<Value = (String, bool)> {
    let lines = |indent: &'static str| {
        let all: Vec<(usize, &'static str)> = vec![
            "a: 1 # one\n",
            "b:\n  - x\n  - {y: z}\n",
            "# alone\n",
            "c: |\n  text: no\n\n  # no comment\n",
            "d: &anchor\n  e: f\ng: *anchor\n",
            "h: [1,\n  2]\n",
            "\"quo: ted\": ~\n",
            "\n",
        ]
        .into_iter()
        .enumerate()
        .collect();
        proptest::sample::subsequence(all, 0..8).prop_map(move |lines| {
            let text: String = lines.iter().map(|(_, line)| *line).collect();
            let indented: Vec<String> =
                text.split_inclusive('\n').map(|line| format!("{indent}{line}")).collect();
            (indented.concat(), lines.iter().any(|(index, _)| *index != 2 && *index != 7))
        })
    };
    (lines(""), lines("    "), lines("").prop_map(|(text, _)| text), any::<bool>(), any::<bool>()).prop_map(
        |((before, _), (servers, others), after, has_servers, crlf)| {
            let after = after.replace("\na", "\nz").replace("&anchor", "&other").replace("*anchor", "*other");
            let after: String = after
                .lines()
                .map(|line| match line.chars().next() {
                    Some(c) if c.is_ascii_lowercase() => format!("z{line}\n"),
                    Some('"') => format!("\"z{}\n", &line[1..]),
                    _ => format!("{line}\n"),
                })
                .collect();
            let text = match has_servers {
                true => format!("{before}extensions: # mine\n{servers}{after}"),
                false => format!("{before}{after}"),
            };
            let exact = if has_servers { others } else { !text.is_empty() };
            (if crlf { text.replace('\n', "\r\n") } else { text }, exact)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_keeps_everything_else((text, exact) in json()) {
        goes_in_and_out(Client::Cursor, &text, exact)?;
    }

    #[test]
    fn toml_keeps_everything_else((text, exact) in toml()) {
        goes_in_and_out(Client::Codex, &text, exact)?;
    }

    #[test]
    fn yaml_keeps_everything_else((text, exact) in yaml()) {
        goes_in_and_out(Client::Goose, &text, exact)?;
    }

    #[test]
    fn any_text_is_changed_or_refused(text in ".{0,80}", client in select(Client::ALL.to_vec())) {
        if let Ok(after) = client.with(Some(&text), &server()) {
            prop_assert_eq!(client.with(Some(&after), &server()), Ok(after));
        }
        let _ = client.without(&text, "farthing", &[]);
    }
}
