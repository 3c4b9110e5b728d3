//! The programs of examples/, as they are, and SDKs with their defaults, each against a local priced API on a local chain.

use std::collections::BTreeMap;
use std::process::{Output, Stdio};
use std::time::Duration;

use farthing_ambient::SystemClock;
use farthing_ledger::{Ledger, PurchaseFilter, PurchaseState};
use tokio::process::Command;

use super::{Proxy, ROUTES, token};
use crate::world::World;
use crate::world::model::ANSWER;
use crate::world::programs::{folder, python};

/// How long one of them may take: crewai alone is imported in ten seconds.
const PATIENCE: Duration = Duration::from_secs(240);

struct Stage {
    world: World,
    proxy: Proxy,
    token: String,
}

impl Stage {
    async fn set() -> Self {
        let world = World::selling(ROUTES, "").await;
        let proxy = Proxy::start(&world).await;
        let token = token(&world.wallet, "researcher").await;
        Self { world, proxy, token }
    }

    /// Runs an example with what its first lines name; what it printed.
    async fn run(&self, command: Command) -> Output {
        self.run_with(command, "/v1").await
    }

    /// The same with another model.
    async fn run_with(&self, mut command: Command, model: &str) -> Output {
        let model = self.world.at(model);
        command
            .env("PROXY", &self.proxy.url)
            .env("TOKEN", &self.token)
            .env("WEATHER", &self.world.url)
            .env("API", self.world.at("/weather/berlin"))
            .env("MODEL_URL", &model)
            .env("OPENAI_BASE_URL", self.proxy.at(&model))
            .env("OPENAI_API_KEY", &self.token)
            // What they keep, they keep here.
            .env("HOME", self.world.folder.path())
            .current_dir(self.world.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let done = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{command:?}: {said} {}", String::from_utf8_lossy(&done.stdout));
        done
    }

    /// How often each path was paid for, by the agent that the token names.
    async fn bought(&self) -> BTreeMap<String, usize> {
        let path = self.world.wallet.home.join("ledger.db");
        let ledger = Ledger::open(&path, std::sync::Arc::new(SystemClock)).unwrap();
        let mut bought = BTreeMap::new();
        for purchase in ledger.purchases(PurchaseFilter::default()).await.unwrap() {
            assert_eq!(purchase.state, PurchaseState::Paid);
            assert_eq!(purchase.terms.agent.as_deref(), Some("researcher"));
            *bought.entry(purchase.terms.url.replace(&self.world.url, "")).or_default() += 1;
        }
        bought
    }
}

fn example(name: &str) -> Command {
    python("python", &format!("examples/python/{name}"))
}

fn bought<const N: usize>(list: [(&str, usize); N]) -> BTreeMap<String, usize> {
    list.into_iter().map(|(path, count)| (path.to_owned(), count)).collect()
}

#[tokio::test]
async fn curl() {
    let stage = Stage::set().await;
    let mut sh = Command::new("sh");
    sh.arg(folder("examples/curl/pay.sh"));
    let done = stage.run(sh).await;
    assert_eq!(done.stdout, br#"{"path":"/weather/berlin"}"#);
    assert!(String::from_utf8_lossy(&done.stderr).to_lowercase().contains("farthing-price: $0.002"));
    assert_eq!(stage.bought().await, bought([("/weather/berlin", 1)]));
}

#[tokio::test]
async fn the_openai_sdk() {
    let stage = Stage::set().await;
    let done = stage.run(example("openai_chat.py")).await;
    let said = String::from_utf8(done.stdout).unwrap();
    for line in [format!("answer: {ANSWER}"), "paid: $0.001".to_owned(), format!("streamed: {ANSWER}")] {
        assert!(said.contains(&line), "{said}");
    }
    assert_eq!(stage.bought().await, bought([("/v1/chat/completions", 2)]));
}

/// What the SDK with its defaults prints when the model has a bad day. It tries again up to two times by itself, and pays
/// once, whatever goes wrong. `served` is how often the model is asked.
async fn sdk_as_it_comes(stage: &Stage, model: &str, timeout: &str, served: u64) -> String {
    let before = (stage.world.earned().await, stage.world.upstream.served());
    let mut program = python("python", "tests/python/openai_defaults.py");
    program.env("TIMEOUT", timeout);
    let done = stage.run_with(program, &format!("/{model}")).await;
    assert_eq!(stage.bought().await.get(&format!("/{model}/chat/completions")), Some(&1));
    let after = (stage.world.earned().await, stage.world.upstream.served());
    assert_eq!((after.0 - before.0, after.1 - before.1), (1_000, served), "{model}");
    stage.world.wallet.assert_whole().await;
    String::from_utf8(done.stdout).unwrap()
}

#[tokio::test]
async fn the_openai_sdk_pays_once_for_what_fails_at_first() {
    let said = sdk_as_it_comes(&Stage::set().await, "failing", "30", 2).await;
    assert_eq!(said, format!("failed: 500\nanswer: {ANSWER}\nresent: 1\n"), "no retry by itself");
}

#[tokio::test]
async fn the_openai_sdk_pays_once_for_what_breaks_off() {
    let said = sdk_as_it_comes(&Stage::set().await, "breaking", "30", 2).await;
    assert_eq!(said, format!("answer: {ANSWER}\nresent: 1\n"));
}

#[tokio::test]
async fn the_openai_sdk_pays_once_for_what_takes_longer_than_it_waits() {
    let stage = Stage::set().await;
    // With the first payment the key is unlocked, which takes its time.
    let first = stage.proxy.get(&stage.world.at("/weather/berlin"), &stage.token).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let said = sdk_as_it_comes(&stage, "pondering", "5", 1).await;
    assert_eq!(said, format!("answer: {ANSWER}\nresent: 1\n"));
}

/// The model asks for the tool, the tool pays, the model says what it said.
async fn agent(name: &str) {
    let stage = Stage::set().await;
    let done = stage.run(example(name)).await;
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(said.contains(r#"The tool says: {"path":"/weather/berlin"}"#), "{said}");
    assert_eq!(stage.bought().await, bought([("/v1/chat/completions", 2), ("/weather/berlin", 1)]));
    stage.world.wallet.assert_whole().await;
}

#[tokio::test]
async fn a_langchain_agent_with_a_paid_tool() {
    agent("langchain_agent.py").await;
}

#[tokio::test]
async fn a_crewai_crew_with_a_paid_tool() {
    agent("crewai_crew.py").await;
}
