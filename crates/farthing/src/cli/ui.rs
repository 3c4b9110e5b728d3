//! The arguments of the local page and of receipts.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing ui           prints a link; open it in a browser on this machine
  farthing ui --open    opens it as well
Enter prints another link, Ctrl-C ends the page and every session.")]
pub(crate) struct UiArgs {
    /// Listen on this port of 127.0.0.1; any free one by default. Take one at which your browser has met no other server.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Open the link in the browser as well. Until it is opened, other users can read it in the list of processes.
    #[arg(long)]
    pub(crate) open: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  farthing receipt 7K2M9QXA
  farthing receipt 7K2M9QXA --html -o receipt.html
  farthing receipt 7K2M9QXA --pdf -o receipt.pdf
  farthing receipt 7K2M9QXA --body              what was paid for; -o FILE writes it to a file")]
pub(crate) struct ReceiptArgs {
    /// The purchase, as `farthing history` lists it; its last characters are enough.
    pub(crate) id: String,
    /// Print the body that was paid for instead.
    #[arg(long, group = "what")]
    pub(crate) body: bool,
    /// The receipt as a page of HTML that needs nothing else.
    #[arg(long, group = "what")]
    pub(crate) html: bool,
    /// The receipt as a page of PDF.
    #[arg(long, group = "what", requires = "output")]
    pub(crate) pdf: bool,
    /// Write the page or the body to this file.
    #[arg(short = 'o', long, value_name = "FILE", requires = "what")]
    pub(crate) output: Option<PathBuf>,
}
