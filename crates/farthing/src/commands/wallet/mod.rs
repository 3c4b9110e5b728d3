//! `farthing wallet`: the keys themselves.

mod export;
mod keyring;
mod rotate;

use crate::cli::{ImportArgs, InitArgs, WalletCommand};
use crate::exit::Failure;
use crate::home::Home;
use crate::output::Output;
use crate::session::Session;

pub(crate) async fn run(home: Home, command: &WalletCommand, output: Output) -> Result<(), Failure> {
    match command {
        WalletCommand::Import(args) => import(&home, args, output),
        WalletCommand::Address => super::address::run(&Session::new(home)?, output),
        WalletCommand::Export(args) => export::run(&Session::new(home)?, args, output),
        WalletCommand::Keyring(command) => keyring::run(&Session::new(home)?, command, output),
        WalletCommand::Rotate(args) => rotate::run(&Session::new(home)?, args, output).await,
    }
}

/// A wallet that is brought along is made as a new one is.
fn import(home: &Home, args: &ImportArgs, output: Output) -> Result<(), Failure> {
    let init = InitArgs { yes: args.yes, import: Some(args.kind), print_phrase: false, words: String::new() };
    super::init::run(home, &init, output)
}
