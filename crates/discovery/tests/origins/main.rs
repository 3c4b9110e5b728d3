//! Discovery against real servers on this machine: honest ones, sloppy ones, hostile ones. The servers are ours; what
//! they say is what peers say (`tests/golden/discovery.json`), or worse.
#![forbid(unsafe_code)]

#[cfg(test)]
mod asking;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod indexes;
#[cfg(test)]
mod probing;
#[cfg(test)]
mod server;
