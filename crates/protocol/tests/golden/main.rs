//! What `@x402/core`, `@x402/evm` and `@x402/extensions` 2.27.0 and `@agentcash/discovery` 1.7.5 write and read, against what we write and read.
//!
//! The files in `/tests/golden` are made by `/tests/peers/golden.mjs`. Wherever we differ from the reference, the case is
//! listed in the test by its name, with the reason; a case that is listed and does not differ fails too.
#![forbid(unsafe_code)]

#[cfg(test)]
mod common;
#[cfg(test)]
mod discovery;
#[cfg(test)]
mod exact_evm;
#[cfg(test)]
mod express;
#[cfg(test)]
mod facilitator;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod reading;
