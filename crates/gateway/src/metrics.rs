use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident: $help:literal,)*) => {
        /// What happened since the start, as counters.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(pub(crate) $name: Counter,)*
        }

        impl Metrics {
            /// The counters in Prometheus' text format.
            #[must_use]
            pub fn render(&self) -> String {
                let mut text = String::new();
                $(
                    let name = concat!("farthing_gateway_", stringify!($name), "_total");
                    let value = self.$name.get();
                    // Writing into a string does not fail.
                    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} counter\n{name} {value}", $help);
                )*
                text
            }
        }
    };
}

counters! {
    unpaid: "Requests answered with the price.",
    free: "Requests passed without payment.",
    documents: "Discovery documents given out.",
    unmatched: "Requests that no route is for.",
    bad_paths: "Requests whose path was refused.",
    refused: "Payments that were not accepted.",
    payer_limited: "Payments not accepted because too much of their payer's was unsettled.",
    no_room: "Calls refused because too much was held in memory.",
    duplicates: "Copies of a payment that were refused.",
    served: "Paid calls whose answer was given out.",
    resent: "Answers given out again to the same request.",
    failed: "Calls whose handler failed; settled only where the route is upfront.",
    settle_failed: "Settlements that failed; the answer was withheld.",
    settle_unknown: "Settlements not known in time; the answer is kept.",
    facilitator_errors: "Times the facilitator could not answer.",
    ledger_errors: "Times the ledger or the store of answers failed.",
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
