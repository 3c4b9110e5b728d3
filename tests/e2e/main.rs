//! End to end: the real `farthing` binary as wallet, gateway and facilitator, a real (local) chain, and other
//! people's software.

mod caps;
mod failures;
mod paid_call;
mod peers;
mod world;
