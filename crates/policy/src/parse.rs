use sha2::{Digest, Sha256};

use crate::agents::Agents;
use crate::category::Categories;
use crate::error::Place;
use crate::payments::Reading;
use crate::read::{Fields, text};
use crate::tools;
use crate::yaml::{self, Node, Value};
use crate::{Policy, PolicyError};

/// What may stand at the top.
const KEYS: [&str; 10] = [
    "version",
    "description",
    "default",
    "hide",
    "tools",
    "audit",
    "payments",
    "categories",
    "agents",
    "kill",
];

impl Policy {
    /// The largest text that is read, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// Reads a policy. The crate's documentation shows the language.
    ///
    /// # Errors
    /// [`PolicyError`], with the place, for anything that is not certainly meant: unknown or repeated keys, amounts
    /// without quotes, empty lists, names given twice, and rules under which no payment could ever be made.
    pub fn parse(yaml: &str) -> Result<Self, PolicyError> {
        if yaml.len() > Self::MAX_BYTES {
            return Err(Place::START.error(format!("the policy has more than {} bytes", Self::MAX_BYTES)));
        }
        let mut top = Fields::of(yaml::parse(yaml)?, &KEYS)?;
        version(top.need("version", "write `version: 1`")?)?;
        // For people; whatever stands there is text.
        top.take("description");
        let tools = tools::read(&mut top)?;
        let recording = top.take("audit").map(tools::recording).transpose()?.unwrap_or_default();
        let mut warnings = Vec::new();
        let kill = top.take("kill").map_or(Ok(None), kill)?;
        let categories = Categories::read(top.take("categories"), &mut warnings)?;
        let agents = top.take("agents");
        let payments = match top.take("payments") {
            None if agents.is_none() && kill.is_none() && tools.is_none() => {
                Some(top.need("payments", "write what may be paid, or `tools:`, what may be called")?)
            }
            payments => payments,
        };
        let reading = Reading { agent: None, categories: &categories };
        let payments = payments.map(|node| reading.section(node, &mut warnings)).transpose()?;
        let payable = payments.is_some();
        let agents =
            agents.map(|node| Agents::read(node, &categories, payable, &mut warnings)).transpose()?;
        let hash = hex::encode(Sha256::digest(yaml));
        let mut policy = Self { hash, tools, recording, payments, categories, agents, kill, warnings };
        policy.compare()?;
        Ok(policy)
    }

    /// The policy that `farthing init` writes: small caps, every choice explained in comments.
    #[must_use]
    pub const fn starter() -> &'static str {
        include_str!("starter.yaml")
    }
}

fn version(node: Node) -> Result<(), PolicyError> {
    match &node.value {
        Value::Plain(text) | Value::Quoted(text) if text == "1" => Ok(()),
        _ => Err(node.at.error("this farthing reads policies of version 1")),
    }
}

/// Why everything is stopped: `true`, or the reason itself.
fn kill(node: Node) -> Result<Option<String>, PolicyError> {
    match &node.value {
        Value::Plain(text) if text == "false" => Ok(None),
        Value::Plain(text) if text == "true" => Ok(Some("its kill switch is on".to_owned())),
        _ => {
            let at = node.at;
            let why = text(node)?;
            if why.trim().is_empty() {
                return Err(at.error("write true, false, or why everything is stopped"));
            }
            Ok(Some(why))
        }
    }
}
