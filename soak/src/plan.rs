//! What is bought, from whom, by whom, and what goes wrong: all of it follows from the seed and the call's number.

use farthing_protocol::Protocol;
use sha2::{Digest as _, Sha256};

use crate::dice::Dice;

/// A route that the gateways sell. Prices are odd on purpose, so that no two sums agree by chance.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// The path before the call's number.
    pub(crate) path: &'static str,
    /// As gateway.yaml has it; none where the route is free.
    pub(crate) price: Option<&'static str>,
    pub(crate) upfront: bool,
    /// How many calls of a hundred go there.
    weight: u64,
}

pub(crate) const ROUTES: [Route; 6] = [
    Route { method: "GET", path: "/weather/", price: Some("$0.002"), upfront: false, weight: 40 },
    Route { method: "GET", path: "/quote/", price: Some("1 base units"), upfront: false, weight: 15 },
    Route { method: "GET", path: "/report/", price: Some("$0.013337"), upfront: false, weight: 15 },
    Route { method: "POST", path: "/render/", price: Some("$0.0071"), upfront: false, weight: 15 },
    Route { method: "GET", path: "/film/", price: Some("$0.005003"), upfront: true, weight: 10 },
    Route { method: "GET", path: "/about/", price: None, upfront: false, weight: 5 },
];

/// How many buyers call from inside this process. One more calls through `farthing fetch`.
pub(crate) const BUYERS: usize = 5;

/// One call in so many is made by a `farthing fetch` of its own.
const BY_COMMAND: u64 = 500;

/// Which gateway a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shop {
    /// The gateway with a facilitator in its own process.
    Whole,
    /// The gateway that asks a facilitator over HTTP.
    Split,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) shop: Shop,
    pub(crate) route: &'static Route,
    /// Which buyer makes it; none: a process of its own.
    pub(crate) buyer: Option<usize>,
    /// The only protocol that the buyer pays in.
    pub(crate) protocol: Protocol,
    /// How often he asks again after a failure that costs him nothing.
    pub(crate) patience: u32,
}

/// What the API does with one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// It answers after so many milliseconds.
    Slow(u64),
    /// 500.
    Broken,
    /// 404, whenever it is asked.
    Missing,
    /// The body ends too early.
    CutOff,
    /// Nothing comes.
    Hang,
}

/// The whole run, as the seed has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) dice: Dice,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed) }
    }

    pub(crate) fn call(self, number: u64) -> Call {
        let dice = self.dice;
        let routes: Vec<_> = ROUTES.iter().map(|route| (route.weight, route)).collect();
        let route = dice.pick(&routes, "route", &[number]).unwrap_or(&ROUTES[0]);
        let shop = dice.pick(&[(70, Shop::Whole), (30, Shop::Split)], "shop", &[number]);
        let buyer = usize::try_from(dice.below(BUYERS as u64, "buyer", &[number])).unwrap_or_default();
        let v1 = dice.below(10, "protocol", &[number]) == 0;
        Call {
            number,
            shop: shop.unwrap_or(Shop::Whole),
            route,
            buyer: (number % BY_COMMAND != BY_COMMAND / 2).then_some(buyer),
            protocol: if v1 { Protocol::X402V1 } else { Protocol::X402V2 },
            patience: dice.pick(&[(40, 0), (30, 1), (30, 5)], "patience", &[number]).unwrap_or_default(),
        }
    }

    /// What the API does when it is asked for a call the `attempt`-th time.
    pub(crate) fn fate(self, number: u64, attempt: u64) -> Fate {
        if self.dice.below(100, "missing", &[number]) == 0 {
            return Fate::Missing;
        }
        let slow = 20 + self.dice.below(280, "how slow", &[number, attempt]);
        let odds = [
            (870, Fate::Answer),
            (60, Fate::Slow(slow)),
            (45, Fate::Broken),
            (20, Fate::CutOff),
            (5, Fate::Hang),
        ];
        self.dice.pick(&odds, "fate", &[number, attempt]).unwrap_or(Fate::Answer)
    }

    /// What a buyer sends along.
    pub(crate) fn question(self, call: &Call) -> Vec<u8> {
        if call.route.method != "POST" {
            return Vec::new();
        }
        format!(
            "{{\"render\":{},\"salt\":\"{:016x}\"}}",
            call.number,
            self.dice.draw("question", &[call.number])
        )
        .into_bytes()
    }

    /// The one right answer to a call.
    pub(crate) fn answer(self, number: u64) -> Vec<u8> {
        let length = self.dice.below(3_000, "length", &[number]);
        let padding = "farthing ".repeat(usize::try_from(length / 9).unwrap_or_default());
        let secret = self.dice.draw("answer", &[number]);
        format!("{{\"call\":{number},\"secret\":\"{secret:016x}\",\"padding\":\"{padding}\"}}").into_bytes()
    }

    /// A buyer's private key: as public as the seed.
    pub(crate) fn key(self, buyer: u64) -> [u8; 32] {
        let word = self.dice.draw("key", &[buyer]);
        Sha256::digest(format!("farthing soak, buyer {buyer}, {word:016x}")).into()
    }
}

impl Call {
    pub(crate) fn path(&self) -> String {
        format!("{}{}", self.route.path, self.number)
    }
}

/// The call's number in a path or an address.
pub(crate) fn number_of(url: &str) -> Option<u64> {
    url.rsplit('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_repeats_itself() {
        let told = |plan: Plan| {
            (0..1_000).map(|n| format!("{:?}{:?}", plan.call(n), plan.fate(n, 0))).collect::<Vec<_>>()
        };
        assert_eq!(told(Plan::new(7)), told(Plan::new(7)));
        assert_ne!(told(Plan::new(7)), told(Plan::new(8)));
    }

    #[test]
    fn everything_occurs() {
        let plan = Plan::new(1);
        let calls: Vec<_> = (0..5_000).map(|n| plan.call(n)).collect();
        for route in &ROUTES {
            assert!(calls.iter().any(|call| call.route.path == route.path), "{}", route.path);
        }
        assert!(calls.iter().any(|call| call.protocol == Protocol::X402V1 && call.shop == Shop::Split));
        assert_eq!(calls.iter().filter(|call| call.buyer.is_none()).count(), 10);
        for fate in [Fate::Answer, Fate::Broken, Fate::Missing, Fate::CutOff, Fate::Hang] {
            assert!((0..5_000).any(|n| plan.fate(n, 0) == fate), "{fate:?}");
        }
        assert_eq!(number_of("http://127.0.0.1:1/weather/42"), Some(42));
    }
}
