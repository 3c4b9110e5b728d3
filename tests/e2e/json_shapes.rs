//! docs/json.md says what `--json` prints; here the commands are run, and what they print has the shape that stands there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::world::World;

const PAGE: &str = include_str!("../../docs/json.md");

/// The page's examples by their headings.
fn documented() -> BTreeMap<String, Value> {
    PAGE.split("\n### `")
        .skip(1)
        .filter_map(|section| {
            let (name, rest) = section.split_once('`').unwrap();
            let example = rest.split("```json\n").nth(1)?.split("```").next().unwrap();
            let value = serde_json::from_str(example).unwrap_or_else(|error| panic!("{name}: {error}"));
            Some((name.to_owned(), value))
        })
        .collect()
}

struct Page(BTreeMap<String, Value>);

impl Page {
    /// Whether a value has the shape of its example: the same keys, the same types, and nothing where there is nothing.
    fn compare(&self, place: &str, example: &Value, found: &Value) {
        match (example, found) {
            (Value::String(name), _) if self.0.contains_key(name) => {
                self.compare(place, &self.0[name], found)
            }
            (Value::Null, _) | (_, Value::Null) => {}
            (Value::Object(example), Value::Object(found)) => {
                let keys =
                    |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
                assert_eq!(keys(found), keys(example), "{place} has other keys than docs/json.md");
                for (key, value) in found {
                    self.compare(&format!("{place}.{key}"), &example[key], value);
                }
            }
            (Value::Array(example), Value::Array(found)) => {
                for value in found {
                    let Some(first) = example.first() else { panic!("{place} is not empty: {value}") };
                    self.compare(&format!("{place}[]"), first, value);
                }
            }
            (Value::Bool(_), Value::Bool(_))
            | (Value::Number(_), Value::Number(_))
            | (Value::String(_), Value::String(_)) => {}
            _ => panic!("{place} is {found}, in docs/json.md {example}"),
        }
    }
}

#[tokio::test]
async fn what_is_printed_has_the_documented_shape() {
    let page = Page(documented());
    let world = World::start().await;
    let ether = "1000000000000000000".parse().unwrap();
    world.chain.set_eth_balance(world.wallet.address.parse().unwrap(), ether).await.unwrap();
    let (url, folder) = (world.at("/weather/bern"), world.folder.path().to_str().unwrap().to_owned());
    let (man, file) = (format!("{folder}/man"), format!("{folder}/phrase"));
    let policy = world.wallet.home.join("policy.yaml").to_str().unwrap().to_owned();
    let mut walked = BTreeSet::new();
    let walk: &[(&str, &[&str], i32)] = &[
        ("farthing check URL", &["check", &url], 0),
        ("farthing discover ORIGIN", &["discover", &world.url], 0),
        ("farthing fetch URL", &["fetch", &url], 0),
        ("farthing history", &["history"], 0),
        ("farthing receipt ID --body", &["receipt", "ID", "--body"], 0),
        ("farthing send", &["send", "0x000000000000000000000000000000000000dEaD", "$0.01", "--yes"], 0),
        ("farthing history", &["history", "-n", "1"], 0),
        ("farthing status", &[], 0),
        ("farthing status", &["status"], 0),
        ("farthing address", &["wallet", "address"], 0),
        ("farthing address", &["address"], 0),
        ("farthing fund", &["fund"], 0),
        ("farthing balance", &["balance"], 0),
        ("farthing spending", &["spending", "--by", "host"], 0),
        ("farthing reconcile", &["reconcile"], 0),
        ("farthing doctor", &["doctor", "--unlock"], 0),
        ("farthing ledger verify", &["ledger", "verify"], 0),
        ("farthing ledger verify", &["audit", "verify"], 0),
        ("farthing config show", &["config", "show"], 0),
        ("farthing policy check FILE", &["policy", "check", &policy], 0),
        ("farthing policy explain", &["policy", "explain"], 0),
        ("farthing policy bound", &["policy", "bound"], 0),
        ("farthing freeze", &["freeze", "stop"], 0),
        ("farthing thaw", &["thaw"], 0),
        ("farthing approvals list", &["approvals", "list"], 0),
        ("farthing proxy tokens add AGENT", &["proxy", "tokens", "add", "researcher"], 0),
        ("farthing proxy tokens list", &["proxy", "tokens", "list"], 0),
        ("farthing man DIR", &["man", &man], 0),
        ("farthing nonsense", &["nonsense"], 2),
        (
            "farthing wallet export --to-file FILE",
            &["wallet", "export", "--unattended", "--to-file", &file],
            0,
        ),
    ];
    for (heading, args, code) in walk {
        let newest = match args.contains(&"ID") {
            true => world.wallet.newest().await["id"].as_str().unwrap().to_owned(),
            false => String::new(),
        };
        let args: Vec<_> = args.iter().map(|arg| if *arg == "ID" { newest.as_str() } else { arg }).collect();
        let found = world.wallet.json(&args, *code).await;
        page.compare(heading, &page.0[*heading], &found);
        walked.insert((*heading).to_owned());
    }
    for (heading, args) in [
        ("farthing wallet rotate", &["wallet", "rotate", "--unattended", "--json"][..]),
        ("farthing wallet rotate --new-key", &["wallet", "rotate", "--new-key", "--unattended", "--json"]),
    ] {
        let mut command = world.wallet.command(args);
        let done = command.env("FARTHING_NEW_PASSPHRASE", "correct horse").output().await.unwrap();
        let found: Value = serde_json::from_slice(&done.stdout).unwrap();
        page.compare(heading, &page.0[heading], &found);
        walked.insert(heading.to_owned());
    }
    let commands = page.0.keys().filter(|name| name.starts_with("farthing ")).cloned().collect();
    assert_eq!(walked, commands, "every command of docs/json.md is walked");
}
