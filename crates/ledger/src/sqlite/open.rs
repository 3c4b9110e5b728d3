//! Opening the file: private, durable, of the right schema.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Result, migrate};
use crate::LedgerError;

/// How long to wait for another process that holds the file. Groups take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long to sleep before asking again.
const PAUSE: Duration = Duration::from_millis(1);
/// Prepared statements kept: more than there are kinds of statements.
const STATEMENTS: usize = 128;
/// SQLite's page cache, in KiB.
const CACHE_KIB: i64 = 8 * 1024;
/// After how many pages (4 KiB) the log is folded into the file. Pages that changed often are then written once.
const LOG_PAGES: i64 = 4000;

pub(super) fn file(path: &Path) -> Result<Connection> {
    let failed = |why: String| LedgerError::Open { path: path.display().to_string(), why };
    let file = absolute(path).map_err(&failed)?;
    create_private(&file).map_err(|error| failed(error.to_string()))?;
    // Without SQLITE_OPEN_URI and with an absolute path, no file name means anything else than itself.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let unopened = |error: rusqlite::Error| failed(why(&error));
    let conn = Connection::open_with_flags(&file, flags).map_err(unopened)?;
    conn.busy_handler(Some(wait)).map_err(unopened)?;
    patiently(|| enter_wal(&conn)).map_err(unopened)?;
    prepare(conn, &path.display().to_string())
}

pub(super) fn memory() -> Result<Connection> {
    prepare(Connection::open_in_memory()?, ":memory:")
}

fn prepare(mut conn: Connection, path: &str) -> Result<Connection> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    conn.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    migrate::migrate(&mut conn, path)?;
    Ok(conn)
}

/// The file's place with its folder resolved: the folder has to exist.
fn absolute(path: &Path) -> std::result::Result<PathBuf, String> {
    let name = path.file_name().ok_or("this is not the name of a file")?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder =
        folder.canonicalize().map_err(|error| format!("its folder {}: {error}", folder.display()))?;
    Ok(folder.join(name))
}

/// Makes the file readable to its owner alone before SQLite sees it; SQLite gives `-wal` and `-shm` its mode.
fn create_private(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn enter_wal(conn: &Connection) -> rusqlite::Result<()> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
        Some(format!("the file system cannot hold a write-ahead log (mode {mode}); use a local disk")),
    ))
}

fn why(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => format!("the disk is full; free some space and try again ({error})"),
        _ => error.to_string(),
    }
}

/// SQLite does not ask the busy handler when two connections turn on the write-ahead log at once.
fn patiently(work: impl Fn() -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match work() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && begun.elapsed() < PATIENCE =>
            {
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// SQLite's own handler sleeps up to 100 ms at a time, in which a busy neighbour can take the file hundreds of times.
fn wait(attempts: i32) -> bool {
    std::thread::sleep(PAUSE);
    u128::try_from(attempts).is_ok_and(|attempts| attempts < PATIENCE.as_millis() / PAUSE.as_millis())
}
