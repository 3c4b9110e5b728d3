//! Everything that a run needs: the chain behind its faulty node, the API, the sellers' servers, the buyers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::Address;
use farthing_devnet::accounts::{FACILITATOR, FACILITATOR_2, PAYEE, PAYEE_2};
use farthing_devnet::{BASE_SEPOLIA, Base};

use crate::Failure;
use crate::books::text;
use crate::buyers::Buyer;
use crate::command::CommandBuyer;
use crate::node::Node;
use crate::plan::{BUYERS, Plan, ROUTES, Shop};
use crate::servers::{Server, Setup, Signal, free_port};
use crate::upstream::Upstream;

/// What every buyer starts with: a million dollars.
const PURSE: u64 = 1_000_000_000_000;

/// How often the chain makes a block, in seconds.
const BLOCK_TIME_S: u64 = 1;

pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) chain: Base,
    pub(crate) node: Node,
    pub(crate) upstream: Upstream,
    /// The two gateways and the second one's facilitator.
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) buyers: Vec<Buyer>,
    pub(crate) by_command: CommandBuyer,
    /// Everybody whose money counts: name and address.
    pub(crate) accounts: Vec<(String, Address)>,
    pub(crate) before: BTreeMap<String, u128>,
    /// The last block before the first call.
    pub(crate) first_block: u64,
    pub(crate) farthing: PathBuf,
    gateways: [String; 2],
}

impl World {
    pub(crate) async fn start(plan: Plan, farthing: &Path, folder: &Path) -> Result<Self, Failure> {
        let chain = Base::builder().chain_id(BASE_SEPOLIA).block_time_s(BLOCK_TIME_S).start().await?;
        let node = Node::start(chain.rpc_url(), plan.dice).await?;
        let upstream = Upstream::start(plan).await?;
        let (servers, gateways) = servers(farthing, folder, &node, &upstream)?;
        // The facilitator first: a gateway asks it at its start.
        for server in servers.iter().rev() {
            server.start().await?;
        }
        let buyers = (0..BUYERS).map(|number| Buyer::new(number, plan, folder, &node.urls));
        let buyers = buyers.collect::<Result<Vec<_>, _>>()?;
        let by_command = CommandBuyer::new(farthing, folder, &node.urls).await?;
        let accounts = accounts(&buyers, &by_command)?;
        for (_, address) in accounts.iter().skip(2) {
            chain.set_balance(*address, PURSE).await?;
        }
        let before = balances(&chain, &accounts).await?;
        let first_block = chain.block_number().await?;
        let farthing = farthing.to_owned();
        Ok(Self {
            plan,
            chain,
            node,
            upstream,
            servers,
            buyers,
            by_command,
            accounts,
            before,
            first_block,
            farthing,
            gateways,
        })
    }

    pub(crate) fn gateway(&self, shop: Shop) -> &str {
        match shop {
            Shop::Whole => &self.gateways[0],
            Shop::Split => &self.gateways[1],
        }
    }

    pub(crate) async fn balances(&self) -> Result<BTreeMap<String, u128>, Failure> {
        balances(&self.chain, &self.accounts).await
    }

    /// Stops the servers as an operator does, the gateways first.
    pub(crate) async fn stop_servers(&self) -> Result<(), Failure> {
        for server in &self.servers {
            server.end(Signal::Term).await?;
        }
        Ok(())
    }

    /// The wallets' ledgers, by buyer.
    pub(crate) fn wallets(&self) -> Vec<(String, PathBuf)> {
        let own = self.buyers.iter().map(|buyer| (buyer.name.clone(), buyer.ledger_file()));
        own.chain([(self.by_command.name.clone(), self.by_command.ledger_file())]).collect()
    }
}

/// The payees first, then the buyers.
fn accounts(buyers: &[Buyer], by_command: &CommandBuyer) -> Result<Vec<(String, Address)>, Failure> {
    let mut accounts = vec![("seller-1".to_owned(), PAYEE.address), ("seller-2".to_owned(), PAYEE_2.address)];
    for buyer in buyers {
        accounts.push((buyer.name.clone(), buyer.address.parse()?));
    }
    accounts.push((by_command.name.clone(), by_command.address.parse()?));
    Ok(accounts)
}

async fn balances(chain: &Base, accounts: &[(String, Address)]) -> Result<BTreeMap<String, u128>, Failure> {
    let mut balances = BTreeMap::new();
    for (_, address) in accounts {
        balances.insert(text(*address), u128::try_from(chain.balance_of(*address).await?)?);
    }
    Ok(balances)
}

type Servers = (Vec<Arc<Server>>, [String; 2]);

fn servers(farthing: &Path, folder: &Path, node: &Node, upstream: &Upstream) -> Result<Servers, Failure> {
    let ports = [free_port()?, free_port()?, free_port()?];
    let rpc = serde_json::to_string(&node.urls)?;
    let own = format!(
        "in_process:\n    networks:\n      base-sepolia: {{rpc: {rpc}, signers: [{{env: SIGNER_KEY}}]}}"
    );
    let remote = format!("url: http://127.0.0.1:{}", ports[2]);
    let facilitator = format!(
        "listen: 127.0.0.1:{}\nnetworks:\n  base-sepolia: {{rpc: {rpc}, signers: [{{env: SIGNER_KEY}}]}}\n\
         limits: {{requests_per_minute: 1000000, burst: 100000}}\n",
        ports[2]
    );
    let setup = |name, command, port, config, signer: farthing_devnet::Account| {
        let signer = signer.private_key.to_string();
        Server::new(Setup { farthing, folder, name, command, port, config, signer }).map(Arc::new)
    };
    let gateway = |port, payee: Address, facilitator: &str| gateway(port, &upstream.url, payee, facilitator);
    let servers = vec![
        setup("gateway-1", "gateway", ports[0], gateway(ports[0], PAYEE.address, &own), FACILITATOR)?,
        setup("gateway-2", "gateway", ports[1], gateway(ports[1], PAYEE_2.address, &remote), STRANGER_TO_IT)?,
        setup("facilitator", "facilitator", ports[2], facilitator, FACILITATOR_2)?,
    ];
    let url = |port| format!("http://127.0.0.1:{port}");
    Ok((servers, [url(ports[0]), url(ports[1])]))
}

/// The second gateway sends nothing itself.
const STRANGER_TO_IT: farthing_devnet::Account = farthing_devnet::accounts::STRANGER;

fn gateway(port: u16, upstream: &str, payee: Address, facilitator: &str) -> String {
    let routes = ROUTES.iter().map(|route| {
        let price =
            route.price.map_or_else(|| "free: true".to_owned(), |price| format!("price: \"{price}\""));
        let flow = if route.upfront { ", flow: upfront" } else { "" };
        format!("  - {{match: \"{} {}{{number}}\", {price}{flow}}}\n", route.method, route.path)
    });
    format!(
        "listen: 127.0.0.1:{port}\nupstream: {upstream}\npay_to: \"{payee}\"\naccepts: [base-sepolia]\n\
         facilitator:\n  {facilitator}\n\
         timeouts: {{upstream: 2s}}\nresponses: {{keep: 1m, max: 16MB}}\nroutes:\n{}",
        routes.collect::<String>()
    )
}
