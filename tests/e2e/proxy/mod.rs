//! `farthing proxy` in front of a gateway, on a local chain: for programs that only speak HTTP.

mod calls;
mod examples;
mod tokens;

use std::path::PathBuf;

use reqwest::RequestBuilder;
use tokio::process::Child;

use crate::world::{Wallet, World, free_port, listening};

/// What is sold through the proxy.
const ROUTES: &str = r#"
  - {match: "GET /weather/{city}", price: "$0.002"}
  - {match: "GET /events", price: "$0.01", flow: upfront}
  - {match: "POST /{model}/chat/completions", price: "$0.001", flow: upfront}
"#;

/// Two agents; the second may spend two calls' worth a day.
const POLICY: &str = r#"
version: 1
payments:
  max: "$0.10"
  budgets: [{name: ever, max: "$1", per: lifetime}]
agents:
  researcher: {}
  intern: {payments: {budgets: [{name: day, max: "$0.004", per: 24 hours}]}}
  careful: {payments: {approve_above: "$0.001"}}
"#;

/// A proxy of the real binary.
struct Proxy {
    url: String,
    child: Child,
}

impl Proxy {
    /// A proxy that may call the world's gateway, although that is on this machine.
    async fn start(world: &World) -> Self {
        let host = world.url.trim_start_matches("http://");
        let config = world.wallet.home.join("config.yaml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, format!("{text}private_hosts: [\"{host}\"]\n")).unwrap();
        world.wallet.policy(POLICY);
        // There has to be one before the proxy starts.
        token(&world.wallet, "researcher").await;
        let listen = format!("127.0.0.1:{}", free_port());
        let log: PathBuf = world.folder.path().join("proxy.log");
        let file = std::fs::File::create(&log).unwrap();
        let mut command = world.wallet.command(&["proxy", "--listen", &listen]);
        command.stdout(file.try_clone().unwrap()).stderr(file).kill_on_drop(true);
        let url = format!("http://{listen}");
        let child = listening(command.spawn().unwrap(), &log, &url).await;
        Self { url, child }
    }

    fn at(&self, target: &str) -> String {
        format!("{}/{target}", self.url)
    }

    fn get(&self, target: &str, token: &str) -> RequestBuilder {
        reqwest::Client::new().get(self.at(target)).bearer_auth(token)
    }
}

/// A new token for an agent.
async fn token(wallet: &Wallet, agent: &str) -> String {
    let made = wallet.json(&["proxy", "tokens", "add", agent], 0).await;
    made["token"].as_str().unwrap().to_owned()
}
