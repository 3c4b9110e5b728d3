//! Processes that die: at every step of a purchase and of a paid call, under load, on a full disk.
//!
//! [`points`] lists every step at which a process can be killed; [`buyer`], [`seller`] and [`load`] kill the real
//! binary there, start it again and let its owner go on; [`audit`] then asks chain, ledgers and files whether anything
//! was paid twice, served unclaimed, overspent or lost. [`torture`] does all of it at random, for as long as one likes.

mod audit;
mod buyer;
mod disk;
mod keystore;
mod load;
mod points;
mod seller;
mod shop;
mod torture;
