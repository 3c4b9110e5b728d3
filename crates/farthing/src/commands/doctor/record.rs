//! The ledger: whether it opens and fits together, what is open in it, and whether everything is frozen.

use farthing_ambient::{Clock as _, SystemClock};
use farthing_ledger::{Ledger, LedgerError, Purchase, PurchaseFilter};

use super::Check;
use crate::exit::Code;
use crate::output::{printable, time};
use crate::session::{Session, existing_ledger};

/// With more rows than this, verifying takes longer than somebody wants to wait here.
const MOST_ROWS: i64 = 100_000;

pub(super) async fn look(session: &Session) -> Vec<Check> {
    let path = session.home().ledger();
    if !path.exists() {
        return vec![Check::ok("ledger", "there is none yet; the first purchase makes it")];
    }
    let ledger = match existing_ledger(&path) {
        Ok(ledger) => ledger,
        Err(failure) => return vec![Check::of("ledger", failure)],
    };
    let looked = [whole(&ledger).await, open(&ledger).await, frozen(&ledger).await, waiting(&ledger).await];
    looked
        .into_iter()
        .filter_map(|check| check.unwrap_or_else(|error| Some(Check::of("ledger", error.into()))))
        .collect()
}

type Looked = Result<Option<Check>, LedgerError>;

async fn whole(ledger: &Ledger) -> Looked {
    let rows = ledger.journal_end().await?;
    if rows > MOST_ROWS {
        let what = format!("{rows} rows, too many to verify here");
        return Ok(Some(Check::ok("ledger", format!("{what}; `farthing ledger verify` does"))));
    }
    let report = ledger.verify().await?;
    Ok(Some(match report.problems.first() {
        None => Check::ok("ledger", format!("whole: {} rows", report.rows)),
        Some(first) => Check::fail(
            "ledger",
            Code::Damaged,
            format!("{} problems: {}", report.problems.len(), printable(first)),
            "keep the file, and restore a copy; `farthing ledger verify` names every row",
        ),
    }))
}

/// What nobody has found out yet although it could be known by now.
async fn open(ledger: &Ledger) -> Looked {
    let unresolved = PurchaseFilter { unresolved: true, ..PurchaseFilter::default() };
    let open = ledger.purchases(unresolved).await?;
    let now = SystemClock.now();
    let is_over =
        |purchase: &&Purchase| purchase.signed.as_ref().is_none_or(|signed| signed.valid_before < now);
    let over = open.iter().filter(is_over).count();
    Ok(match (open.len(), over) {
        (0, _) => None,
        (count, 0) => Some(Check::ok("open", format!("{count} open, and may still be settled"))),
        (count, over) => Some(Check::warn(
            "open",
            format!("{count} open; of {over} the time is over, and they are still reserved"),
            "`farthing reconcile` gives back what was not paid",
        )),
    })
}

async fn frozen(ledger: &Ledger) -> Looked {
    let frozen = ledger.frozen().await?;
    Ok(frozen.map(|frozen| {
        let what = format!("frozen since {} UTC: {}", time(frozen.since), printable(&frozen.why));
        Check::warn("frozen", what, "nothing is paid until `farthing thaw`")
    }))
}

async fn waiting(ledger: &Ledger) -> Looked {
    let pending = ledger.pending_approvals().await?;
    Ok((pending > 0).then(|| {
        let what = format!("{pending} wait for a person");
        Check::warn("approval", what, "`farthing approvals list`")
    }))
}
