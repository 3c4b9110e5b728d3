//! The arguments of `farthing wallet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ImportKind;

#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Show the wallet's addresses.
    Address,
    /// Show the recovery phrase or the private key, to somebody who types the passphrase.
    Export(ExportArgs),
    /// Let the operating system's keyring unlock the wallet, so that agents can pay; or stop that.
    #[command(subcommand)]
    Keyring(KeyringCommand),
    /// Bring a wallet along, from a recovery phrase or a private key, into a folder that has none.
    Import(ImportArgs),
    /// Change the passphrase, or the key itself.
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing wallet export                         the recovery phrase, on the terminal
  farthing wallet export --key --to-file key.txt the private key, in a file that only you can read

Whoever sees what this prints has the money.")]
pub(crate) struct ExportArgs {
    /// The private key, although there is a recovery phrase.
    #[arg(long)]
    pub(crate) key: bool,
    /// Write it to a new file, with mode 0600, instead of showing it.
    #[arg(long, value_name = "FILE")]
    pub(crate) to_file: Option<PathBuf>,
    /// Take the passphrase from FARTHING_PASSPHRASE or the configured source, where nobody can type it.
    #[arg(long, requires = "to_file")]
    pub(crate) unattended: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyringCommand {
    /// Give the keyring the passphrase: every program of yours can unlock the wallet then, without a question.
    Keep(KeepArgs),
    /// Take the passphrase out of the keyring, for somebody who types it: it is needed from then on.
    Forget,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing wallet keyring keep                            asks for the passphrase
  FARTHING_PASSPHRASE=… farthing wallet keyring keep --unattended")]
pub(crate) struct KeepArgs {
    /// Take the passphrase from FARTHING_PASSPHRASE or the configured source, where nobody can type it.
    #[arg(long)]
    pub(crate) unattended: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing wallet import phrase              asks for the words, which are not shown
  farthing wallet import key < key.txt")]
pub(crate) struct ImportArgs {
    /// What is brought along.
    #[arg(value_enum)]
    pub(crate) kind: ImportKind,
    /// Ask nothing. The new passphrase comes from FARTHING_PASSPHRASE or the configured source.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing wallet rotate                     another passphrase for the same key
  farthing wallet rotate --new-key           another key, and with it another address
  farthing wallet rotate --new-key --import phrase

A new key does not move money: the old key file is kept, and `farthing send NEW all --key-file OLD` brings it over. What
runs already, `farthing mcp` or `farthing proxy`, pays from the old address until it is restarted. A backup or a copy of the old file still opens with the old passphrase; where that is known to others, take a new key.")]
pub(crate) struct RotateArgs {
    /// Another key as well. The old one is kept in keys-ADDRESS.json.
    #[arg(long)]
    pub(crate) new_key: bool,
    /// Bring the new key along instead of making one, as `wallet import` does.
    #[arg(long, value_enum, value_name = "KIND", requires = "new_key")]
    pub(crate) import: Option<ImportKind>,
    /// Ask nothing: the passphrase comes from FARTHING_PASSPHRASE or the configured source, the new one from
    /// FARTHING_NEW_PASSPHRASE.
    #[arg(long)]
    pub(crate) unattended: bool,
}
