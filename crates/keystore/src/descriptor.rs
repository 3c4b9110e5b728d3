use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::time::Duration;

use zeroize::Zeroizing;

use crate::bounded::within;
use crate::{Passphrase, UnlockError};

/// How long the other end of a pipe may take.
const MAX_TIME: Duration = Duration::from_secs(10);

/// The first line that an inherited file descriptor gives.
pub(crate) fn read(fd: u32) -> Result<Passphrase, UnlockError> {
    read_within(fd, MAX_TIME)
}

fn read_within(fd: u32, max_time: Duration) -> Result<Passphrase, UnlockError> {
    // Opening it by its name needs no unsafe code, and leaves the inherited descriptor to whoever else reads it.
    let line = within(max_time, move || first_line(File::open(format!("/dev/fd/{fd}"))?));
    let line = line.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()));
    let line = line.map_err(|source| UnlockError::Fd { fd, source })?;
    Passphrase::first_line(line, &format!("file descriptor {fd}"))
}

/// Reads up to the first line's end, and little more than a passphrase can have.
pub(crate) fn first_line(from: impl Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Twice: a passphrase that is too long must not look like a shorter one that is not.
    const MOST: usize = Passphrase::MAX_BYTES * 2;
    let mut line = Zeroizing::new(Vec::with_capacity(MOST));
    BufReader::with_capacity(1, from.take(MOST as u64)).read_until(b'\n', &mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    fn through_a_pipe(bytes: &[u8]) -> Result<Passphrase, UnlockError> {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(bytes).unwrap();
        drop(writer);
        read(u32::try_from(reader.as_raw_fd()).unwrap())
    }

    #[test]
    fn the_first_line_counts() {
        for bytes in
            [&b"correct horse"[..], b"correct horse\n", b"correct horse\r\n", b"correct horse\nmore\n"]
        {
            assert!(through_a_pipe(bytes).unwrap().same(&Passphrase::new("correct horse".to_owned())));
        }
    }

    #[test]
    fn a_silent_pipe_is_not_waited_for_forever() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let fd = u32::try_from(reader.as_raw_fd()).unwrap();
        let error = read_within(fd, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, UnlockError::Fd { source, .. } if source.kind() == ErrorKind::TimedOut));
    }

    #[test]
    fn what_is_no_passphrase_is_refused() {
        assert!(matches!(through_a_pipe(b""), Err(UnlockError::Unusable { why: "is empty", .. })));
        assert!(matches!(through_a_pipe(b"\nx"), Err(UnlockError::Unusable { why: "is empty", .. })));
        assert!(matches!(through_a_pipe(b"\xff"), Err(UnlockError::Unusable { .. })));
        let long = vec![b'x'; Passphrase::MAX_BYTES + 1];
        assert!(matches!(through_a_pipe(&long), Err(UnlockError::Unusable { .. })));
        assert!(through_a_pipe(&long[1..]).is_ok());
        assert!(matches!(read(9999), Err(UnlockError::Fd { fd: 9999, .. })));
    }
}
