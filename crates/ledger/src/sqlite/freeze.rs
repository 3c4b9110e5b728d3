//! The switch that stops everything that spends.

use rusqlite::{Connection, Row};

use super::journal::Kind;
use super::purchases::{corrupt, time};
use super::table::{Cell, FREEZES};
use super::{Batch, Result};
use crate::{Frozen, LedgerError};

/// There is one switch, for everything.
const ALL: &str = "all";

/// The switch during a transaction.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch {
    /// As it was when the transaction began.
    committed: Option<Frozen>,
    /// As the transaction leaves it.
    now: Option<Frozen>,
}

/// How it stands in a transaction under way. Nobody else can turn it meanwhile, so one look is enough.
fn switch<'a>(batch: &'a mut Batch<'_>) -> Result<&'a mut Switch> {
    if batch.switch.is_none() {
        let committed = find(batch.conn)?;
        batch.switch = Some(Switch { now: committed.clone(), committed });
    }
    Ok(batch.switch.get_or_insert_default())
}

/// Whether everything is frozen, inside a transaction.
pub(super) fn now(batch: &mut Batch<'_>) -> Result<Option<Frozen>> {
    Ok(switch(batch)?.now.clone())
}

/// Refuses while everything is frozen.
pub(super) fn refuse(batch: &mut Batch<'_>) -> Result<()> {
    now(batch)?.map_or(Ok(()), |frozen| Err(LedgerError::Frozen(frozen)))
}

/// Frozen already: the first reason stays. The marker is there before anybody can know of the freeze.
pub(super) fn freeze(batch: &mut Batch<'_>, why: &str, by: &str) -> Result<()> {
    if now(batch)?.is_some() {
        return Ok(());
    }
    batch.marker.set()?;
    let cells = [
        ("state", Cell::from("frozen")),
        ("why", Cell::from(why)),
        ("frozen_by", Cell::from(by)),
        ("thawed_by", Cell::Null),
    ];
    batch.insert(&FREEZES, ALL, &cells)?;
    let frozen = Frozen { since: time(batch.now)?, why: why.to_owned(), by: by.to_owned() };
    switch(batch)?.now = Some(frozen);
    Ok(())
}

pub(super) fn thaw(batch: &mut Batch<'_>, by: &str) -> Result<()> {
    if now(batch)?.is_none() {
        return Ok(());
    }
    let cells = [("state", Cell::from("thawed")), ("thawed_by", Cell::from(by))];
    batch.update(&FREEZES, Kind::Thawed, ALL, &cells)?;
    switch(batch)?.now = None;
    Ok(())
}

/// Takes the marker away, unless something is frozen. It does so in a transaction, so that nobody freezes meanwhile, and
/// only after the thaw was committed: one that is undone has to leave the marker.
pub(super) fn unmark(batch: &mut Batch<'_>) -> Result<()> {
    let Switch { committed, now } = switch(batch)?;
    if committed.is_some() || now.is_some() {
        return Ok(());
    }
    batch.marker.clear()
}

/// Whether everything is frozen.
pub(super) fn find(conn: &Connection) -> Result<Option<Frozen>> {
    Ok(FREEZES.find(conn, ALL, read)?.flatten())
}

fn read(row: &Row<'_>) -> Result<Option<Frozen>> {
    match row.get::<_, String>("state")?.as_str() {
        "thawed" => Ok(None),
        "frozen" => Ok(Some(Frozen {
            since: time(row.get("created_at")?)?,
            why: row.get("why")?,
            by: row.get("frozen_by")?,
        })),
        other => Err(corrupt("the freeze's state", other)),
    }
}
