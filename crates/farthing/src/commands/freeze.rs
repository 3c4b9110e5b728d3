//! `farthing freeze` and `farthing thaw`.

use serde_json::json;

use crate::cli::FreezeArgs;
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{BAD, GOOD, Output, printable, time};
use crate::session::ledger_in;

/// Works without a wallet: a guard's folder has none.
pub(crate) async fn freeze(home: &Home, args: &FreezeArgs, output: Output) -> Result<(), Failure> {
    let ledger = ledger_in(home.folder(), "ledger.db")?;
    ledger.freeze(args.why.clone(), person()).await?;
    let frozen = ledger.frozen().await?;
    ledger.close().await?;
    if output.json {
        output.json(&json!({"frozen": frozen}));
        return Ok(());
    }
    if let Some(frozen) = frozen {
        let (since, why) = (time(frozen.since), printable(&frozen.why));
        output.line(format!("{BAD}frozen{BAD:#} since {since} UTC: {why}"));
    }
    output.note("no payment is signed and no guarded call passes, in any process, until `farthing thaw`");
    Ok(())
}

pub(crate) async fn thaw(home: &Home, output: Output) -> Result<(), Failure> {
    let ledger = ledger_in(home.folder(), "ledger.db")?;
    let was = ledger.frozen().await?;
    ledger.thaw(person()).await?;
    ledger.close().await?;
    if output.json {
        output.json(&json!({"frozen": null, "was": was}));
        return Ok(());
    }
    match was {
        Some(was) => output.line(format!(
            "{GOOD}thawed{GOOD:#}; it was frozen since {} UTC: {}",
            time(was.since),
            printable(&was.why)
        )),
        None => output.line("nothing was frozen"),
    }
    Ok(())
}

/// Who decides, as the record names them: the account at the keyboard.
pub(crate) fn person() -> String {
    let account = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    account.unwrap_or_else(|_| format!("user {}", rustix::process::getuid().as_raw()))
}
