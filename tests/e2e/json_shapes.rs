//! docs/json.md says what `--json` prints; here the commands are run, and what they print has the shape that stands there.

#[path = "json_shapes/page.rs"]
mod page;

use std::collections::BTreeSet;
use std::path::Path;

use axum::Router;
use serde_json::Value;

use crate::discovery::Market;
use crate::send::Other;
use crate::world::{FARTHING, GENEROUS, ROUTES, World, networks};
use page::{Page, Section};

/// The commands of which nothing is compared with the page, and why.
const APART: [(&str, &str); 7] = [
    ("farthing ui", "a server: `ui.rs` reads the one object that it prints"),
    ("farthing mcp", "a server: stdout is the protocol's; `tests/mcp` reads the object of --listen"),
    ("farthing proxy", "a server: `proxy/mod.rs` reads the one object that it prints"),
    ("farthing gateway", "a server: it prints nothing"),
    ("farthing guard", "a server: stdout is the protocol's"),
    ("farthing wallet keyring keep", "needs a desktop's keyring, which no test has"),
    ("farthing wallet keyring forget", "needs a desktop's keyring, which no test has"),
];

/// Lists of which no command here has a row: no seller here is hostile or careless enough, or says so much of itself.
const EMPTY: [&str; 6] = [
    "<resource>.tags",
    "farthing check URL.shadowed",
    "farthing check URL.unreadable",
    "farthing discover ORIGIN.origins[].categories",
    "farthing discover ORIGIN.origins[].unverified_ownership_proofs",
    "farthing search WORDS.results[].tags",
];

/// Every command by its whole name: those that have none below them, and those that do something without one.
async fn commands(world: &World) -> BTreeSet<String> {
    let folder = world.folder.path().join("pages");
    world.wallet.ok(&["man", folder.to_str().unwrap()]).await;
    let name = |entry: std::fs::DirEntry| {
        entry.file_name().into_string().unwrap().trim_end_matches(".1").replace('-', " ")
    };
    let all: BTreeSet<String> =
        std::fs::read_dir(&folder).unwrap().map(|entry| name(entry.unwrap())).collect();
    let has_more = |name: &String| all.iter().any(|other| other.starts_with(&format!("{name} ")));
    let does_something = |name: &String| APART.iter().any(|(apart, _)| apart == name);
    let is_help = |name: &String| name.split(' ').any(|word| word == "help");
    all.iter().filter(|name| (!has_more(name) || does_something(name)) && !is_help(name)).cloned().collect()
}

/// What the commands need besides a world.
struct Props {
    market: Market,
    lost: Other,
    collector: String,
    folder: String,
}

impl Props {
    async fn of(world: &World) -> Self {
        let folder = world.folder.path().join("props");
        std::fs::create_dir(&folder).unwrap();
        let props = Self {
            market: Market::open().await,
            lost: Other::start("eip155:84532", true).await,
            collector: collector().await,
            folder: folder.to_str().unwrap().to_owned(),
        };
        let listen = "listen: 127.0.0.1:0";
        for (name, text) in [
            ("strict.yaml", "version: 1\npayments: {max: \"$0.001\"}\n".to_owned()),
            (
                "tools.yaml",
                "version: 1\ntools:\n  pay:\n    rules: [{name: pace, rate_limit: 1/60 seconds}]\n"
                    .to_owned(),
            ),
            (
                "warned.yaml",
                "version: 1\npayments: {max: \"$1\"}\nagents: {a: {tools: [x]}, b: {parent: a, tools: [y]}}\n"
                    .to_owned(),
            ),
            ("intercept.yaml", "version: \"1\"\ntools: {}\n".to_owned()),
            ("facilitator.yaml", format!("{listen}\n{}\n", networks(&world.chain))),
            ("wrong.yaml", "version: 1\npayment: {}\n".to_owned()),
            ("key", format!("{}\n", "11".repeat(32))),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        props
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// Takes everything, as a collector of logs does.
async fn collector() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/logs", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(|| async { "{}" })).await });
    url
}

/// A step: the heading of the page, the arguments after `farthing`, and how it ends. `ID` is the newest purchase,
/// `APPROVAL` the newest approval.
type Step<'a> = (&'a str, Vec<String>, i32);

fn step<'a>(heading: &'a str, line: &str, code: i32) -> Step<'a> {
    (heading, line.split(' ').map(str::to_owned).collect(), code)
}

const TO: &str = "0x000000000000000000000000000000000000dEaD";

fn paying<'a>(world: &World, props: &Props) -> Vec<Step<'a>> {
    let (weather, image) = (world.at("/weather/bern"), world.at("/image"));
    let Props { market, lost, .. } = props;
    vec![
        step("farthing check URL", &format!("check {weather}"), 0),
        step("farthing check URL", &format!("check {}", world.at("/health")), 0),
        step("farthing check URL", &format!("check {}", market.at("/dear")), 0),
        step("farthing check URL", &format!("check {}", market.at("/render")), 0),
        step("farthing check URL", &format!("fetch {weather} --dry-run"), 0),
        step("farthing discover ORIGIN", &format!("discover {} --live", market.url), 0),
        step("farthing discover ORIGIN", &format!("discover {}", world.url), 0),
        step("farthing search WORDS", &format!("search weather --index {}", market.url), 0),
        step("farthing fetch URL", &format!("fetch {weather} -i"), 0),
        step("farthing fetch URL", &format!("fetch {image}"), 0),
        step("farthing history", "history", 0),
        step("farthing history", "history --agent nobody", 0),
        step("<purchase>", "receipt ID", 0),
        step("farthing receipt ID --body", "receipt ID --body", 0),
        step("farthing receipt ID --html", "receipt ID --html", 0),
        step("farthing receipt ID --html", &format!("receipt ID --pdf -o {}", props.file("receipt.pdf")), 0),
        step("farthing send", &format!("send {TO} $0.01 --yes"), 0),
        step("<purchase>", "receipt ID", 0),
        step("farthing send", &format!("send {TO} $0.01 --yes --via {}", lost.url), 6),
        step("farthing reconcile", "reconcile", 0),
        step("farthing history", "history -n 1", 0),
    ]
}

fn standing<'a>(props: &Props) -> Vec<Step<'a>> {
    vec![
        step("farthing status", "status", 0),
        step("farthing address", "wallet address", 0),
        step("farthing address", "address", 0),
        step("farthing fund", "fund", 0),
        step("farthing balance", "balance", 0),
        step("farthing spending", "spending --by host", 0),
        step("farthing spending", "spending --by agent", 0),
        step("farthing doctor", "doctor --unlock", 0),
        step("farthing ledger verify", "ledger verify", 0),
        step("farthing ledger verify", &format!("audit verify --expect-head {}", "f".repeat(64)), 9),
        step("farthing config show", "config show", 0),
        step("farthing audit tail", "audit tail -n 1", 0),
        step("farthing audit export --format otlp", "audit export --format otlp", 0),
        step(
            "farthing audit export --to URL",
            &format!("audit export --format otlp --to {}", props.collector),
            0,
        ),
        step("farthing freeze", "freeze stop", 0),
        step("farthing status", "status", 0),
        step("farthing thaw", "thaw", 0),
        step("farthing proxy tokens add AGENT", "proxy tokens add researcher", 0),
        step("farthing proxy tokens list", "proxy tokens list", 0),
        step("farthing proxy tokens remove ID", "proxy tokens remove TOKEN", 0),
        step("farthing man", "man", 0),
        step("farthing man", &format!("man {}", props.file("man")), 0),
        step("farthing completions SHELL", "completions fish", 0),
        step("farthing nonsense", "nonsense", 2),
        step("farthing install", "install --client cursor --yes", 0),
        step("farthing install --list", "install --list", 0),
        step("farthing install", "uninstall --client cursor --yes", 0),
        step(
            "farthing wallet export --to-file FILE",
            &format!("wallet export --unattended --to-file {}", props.file("phrase")),
            0,
        ),
    ]
}

fn caps<'a>(world: &World, props: &Props) -> Vec<Step<'a>> {
    let file = |name: &str| props.file(name);
    let weather = world.at("/weather/oslo");
    let pay = format!("policy explain --pay {weather} --amount $0.01 --payee {TO}");
    let tool = format!("policy explain -c {} --tool pay", file("tools.yaml"));
    vec![
        step("farthing policy check FILE", &format!("policy check {}", file("warned.yaml")), 0),
        step("farthing policy explain", "policy explain", 0),
        step("farthing policy explain --tool TOOL", &tool, 0),
        step("farthing policy explain --pay URL", &pay, 0),
        step("farthing policy simulate FILE", &format!("policy simulate {}", file("strict.yaml")), 0),
        step("farthing policy bound", "policy bound", 0),
        step(
            "farthing policy import intercept FILE",
            &format!("policy import intercept {}", file("intercept.yaml")),
            0,
        ),
        step(
            "farthing policy import intercept FILE",
            &format!("policy import intercept {} -o {}", file("intercept.yaml"), file("ours.yaml")),
            0,
        ),
        step("farthing policy example NAME", "policy example team", 0),
        step("farthing approvals list", "approvals list", 0),
        step("farthing nonsense", &format!("fetch {weather}"), 4),
        step("farthing approvals list", "approvals list --all", 0),
        step("farthing status", "status", 0),
        step("<approval>", "approvals show APPROVAL", 0),
        step("<approval>", "approvals approve APPROVAL", 0),
        step("farthing fetch URL", &format!("fetch {weather}"), 0),
        step("<approval>", "approvals show APPROVAL", 0),
        step("farthing nonsense", &format!("fetch {weather}"), 4),
        step("<approval>", "approvals deny APPROVAL", 0),
        step("farthing guard validate", &format!("guard validate -c {}", file("wrong.yaml")), 1),
        step("farthing guard scan", &format!("guard scan -- {FARTHING} mcp"), 0),
        step("farthing guard scan", &format!("guard scan -o {} -- {FARTHING} mcp", file("scanned.yaml")), 0),
        step("farthing gateway check", &format!("gateway check -c {}", gateway_yaml(world)), 0),
        step("farthing gateway check", &format!("gateway check --url {}", world.url), 0),
        step(
            "farthing facilitator --check",
            &format!("facilitator --check -c {}", file("facilitator.yaml")),
            0,
        ),
    ]
}

fn gateway_yaml(world: &World) -> String {
    world.folder.path().join("gateway.yaml").to_str().unwrap().to_owned()
}

/// A policy under which some payments wait for a person.
const ASKING: &str = "version: 1\npayments:\n  max: \"$5\"\n  approve_above: \"$0.001\"\n  \
                      budgets: [{name: ever, max: \"$100\", per: lifetime}, {name: host, max: \"$50\", per: day, each: host}]\n";

/// The headings and the commands that were compared.
#[derive(Default)]
struct Walked {
    headings: BTreeSet<String>,
    commands: Vec<String>,
    /// What does not look as the page says.
    wrong: Vec<String>,
}

impl Walked {
    async fn step(&mut self, world: &World, page: &mut Page, (heading, args, code): Step<'_>) {
        let mut words = Vec::new();
        for word in args {
            words.push(match word.as_str() {
                "ID" => world.wallet.newest().await["id"].as_str().unwrap().to_owned(),
                "APPROVAL" => first(world, &["approvals", "list", "--all"], "/approvals/0/id").await,
                "TOKEN" => first(world, &["proxy", "tokens", "list"], "/tokens/0/id").await,
                _ => word,
            });
        }
        let mut command = world.wallet.command(&[]);
        // What follows `--` is a server's.
        let own = words.iter().position(|word| word == "--").unwrap_or(words.len());
        command.args(&words[..own]).arg("--json").args(&words[own..]);
        let done = command.env("HOME", world.folder.path()).output().await.unwrap();
        let (said, why) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if done.status.code() != Some(code) {
            self.wrong.push(format!("{words:?} ends with {}: {said} {why}", done.status));
        }
        self.compare(page, heading, &words, &said);
    }

    fn compare(&mut self, page: &mut Page, heading: &str, words: &[String], said: &str) {
        let mut found: Value =
            serde_json::from_str(said).unwrap_or_else(|error| panic!("{words:?}: {error}: {said}"));
        if heading.starts_with('<') {
            assert_eq!(found.as_object_mut().unwrap().remove("schema"), Some(1.into()), "{words:?}");
        }
        if let Err(why) = page.compare(heading, &found) {
            self.wrong.push(format!("{words:?}: {why}\n{found}"));
        }
        self.headings.insert(heading.to_owned());
        self.commands.push(format!("farthing {} ", words.join(" ")));
    }
}

/// What a command prints at this place.
async fn first(world: &World, args: &[&str], place: &str) -> String {
    let told = world.wallet.json(args, 0).await;
    told.pointer(place).and_then(Value::as_str).unwrap_or_else(|| panic!("{args:?}: {told}")).to_owned()
}

/// The same for the commands that read a secret.
async fn with_secrets(world: &World, props: &Props, page: &mut Page, walked: &mut Walked) {
    let other = Path::new(&props.folder).join("other");
    let key = std::fs::File::open(props.file("key")).unwrap();
    for (heading, words, home, input) in [
        ("farthing init", &["init", "--yes"][..], "new", None),
        ("farthing init", &["init", "--yes", "--print-phrase"], "newer", None),
        ("farthing init", &["wallet", "import", "key", "--yes"], "brought", Some(key)),
        ("farthing wallet rotate", &["wallet", "rotate", "--unattended"], "", None),
        ("farthing wallet rotate --new-key", &["wallet", "rotate", "--new-key", "--unattended"], "", None),
    ] {
        let mut command = world.wallet.command(words);
        command.arg("--json").env("FARTHING_NEW_PASSPHRASE", "correct horse");
        if !home.is_empty() {
            command.env("FARTHING_HOME", other.join(home));
        }
        if let Some(input) = input {
            command.stdin(input);
        }
        let done = command.output().await.unwrap();
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stdout));
        walked.compare(page, heading, &words, &String::from_utf8_lossy(&done.stdout));
    }
}

#[tokio::test]
async fn what_is_printed_has_the_documented_shape() {
    let mut page = Page::read();
    let routes = format!("{ROUTES}  - {{match: \"GET /image\", price: \"$0.002\"}}\n");
    let world = World::selling(&routes, "").await;
    let ether = "1000000000000000000".parse().unwrap();
    world.chain.set_eth_balance(world.wallet.address.parse().unwrap(), ether).await.unwrap();
    let props = Props::of(&world).await;
    let mut walked = Walked::default();
    world.wallet.policy(&format!("{GENEROUS}  rates: [{{name: pace, max: 100, per: minute}}]\n"));
    for one in paying(&world, &props) {
        walked.step(&world, &mut page, one).await;
    }
    world.wallet.policy(ASKING);
    for one in standing(&props).into_iter().chain(caps(&world, &props)) {
        walked.step(&world, &mut page, one).await;
    }
    with_secrets(&world, &props, &mut page, &mut walked).await;
    assert!(walked.wrong.is_empty(), "{}", walked.wrong.join("\n\n"));
    every_command_is_compared(&world, &page, &walked).await;
}

async fn every_command_is_compared(world: &World, page: &Page, walked: &Walked) {
    let apart: BTreeSet<&str> = APART.iter().map(|(name, _)| *name).collect();
    for command in commands(world).await {
        let compared = walked.commands.iter().any(|line| line.starts_with(&format!("{command} ")));
        let is_apart = apart.contains(command.as_str());
        assert!(compared || is_apart, "`{command}` is run by no step, and stands not among those apart");
    }
    // Whole objects of another name: "A `<purchase>`, with `schema` in it".
    let with_example = |(name, section): (&String, &Section)| {
        (name.starts_with("farthing ") && !section.examples.is_empty()).then(|| name.clone())
    };
    let documented: BTreeSet<String> = page.sections.iter().filter_map(with_example).collect();
    let compared = walked.headings.iter().filter(|name| name.starts_with("farthing ")).cloned().collect();
    assert_eq!(documented, compared, "every command of docs/json.md is run");
    let empty: BTreeSet<String> = page.lists().difference(&page.filled).cloned().collect();
    assert_eq!(empty, EMPTY.map(str::to_owned).into(), "every list of docs/json.md has been seen with a row");
}
