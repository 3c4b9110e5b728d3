//! The arguments of `farthing doctor`.

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing doctor
  farthing doctor --unlock         also whether the passphrase opens the keys
  farthing doctor --quiet          only what is not as it should be

It ends with 0 unless something failed; a warning is no failure.")]
pub(crate) struct DoctorArgs {
    /// Also open the key file: with the passphrase that is configured, or that you are asked for.
    #[arg(long)]
    pub(crate) unlock: bool,
}
