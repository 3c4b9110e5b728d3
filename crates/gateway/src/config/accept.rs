use std::fmt;

use farthing_money::{Network, Price};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// One way of being paid: a network alone, or a network with its own asset, price or payee.
#[derive(Debug, Clone)]
pub(crate) struct Accept {
    pub(crate) network: Network,
    pub(crate) asset: Option<String>,
    pub(crate) price: Option<Price>,
    pub(crate) pay_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptText {
    network: Network,
    asset: Option<String>,
    price: Option<Price>,
    pay_to: Option<String>,
}

impl Accept {
    pub(crate) fn network(network: Network) -> Self {
        Self { network, asset: None, price: None, pay_to: None }
    }
}

impl<'de> Deserialize<'de> for Accept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrMap;
        impl<'de> Visitor<'de> for NameOrMap {
            type Value = Accept;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a network such as base, or {network, asset, price, pay_to}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Accept, E> {
                text.parse().map(Accept::network).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Accept, A::Error> {
                let AcceptText { network, asset, price, pay_to } =
                    AcceptText::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Accept { network, asset, price, pay_to })
            }
        }
        deserializer.deserialize_any(NameOrMap)
    }
}
