//! Documents that describe priced APIs, as peers write them, as they should not, and at random; and live answers beside
//! them.
#![forbid(unsafe_code)]

#[cfg(test)]
mod busy;
#[cfg(test)]
mod common;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod live;
#[cfg(test)]
mod reading;
