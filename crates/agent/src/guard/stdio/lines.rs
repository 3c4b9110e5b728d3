//! Messages of any size, one a line.

use std::io::{self, Read};

use memchr::memchr;

use crate::guard::scan::{Scan, Shape};

/// What is read at once, and what is kept between messages.
const BUFFER: usize = 64 << 10;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guard) enum Line<'a> {
    Whole(&'a [u8]),
    /// It was larger than it may be; this is what could be seen of it.
    TooLarge(Shape),
}

/// Reads lines into one buffer that is used again and again.
pub(in crate::guard) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// What is read and not yet given out.
    begin: usize,
    end: usize,
    most: usize,
}

impl<R: Read> Lines<R> {
    pub(in crate::guard) fn new(input: R, most: usize) -> Self {
        Self { input, buffer: vec![0; BUFFER], begin: 0, end: 0, most }
    }

    /// The next line, without its end; none when the input has ended. The last line needs no end.
    pub(in crate::guard) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.shrink();
        let mut searched = 0;
        loop {
            let kept = &self.buffer[self.begin..self.end];
            if let Some(at) = memchr(b'\n', &kept[searched..]) {
                let begin = self.begin;
                let length = searched + at;
                self.begin += length + 1;
                return Ok(Some(self.line(begin, length)));
            }
            searched = kept.len();
            if searched > self.most {
                return self.skip().map(Some);
            }
            if self.fill()? == 0 {
                let begin = std::mem::replace(&mut self.begin, self.end);
                return Ok((searched > 0).then(|| self.line(begin, searched)));
            }
        }
    }

    fn line(&self, begin: usize, length: usize) -> Line<'_> {
        let line = &self.buffer[begin..begin + length];
        if length > self.most { Line::TooLarge(Scan::of(line)) } else { Line::Whole(line) }
    }

    /// Reads on to the end of a line that is too large, and keeps nothing of it.
    fn skip(&mut self) -> io::Result<Line<'_>> {
        let mut scan = Scan::default();
        loop {
            let kept = &self.buffer[self.begin..self.end];
            let at = memchr(b'\n', kept);
            scan.feed(&kept[..at.unwrap_or(kept.len())]);
            self.begin = at.map_or(self.end, |at| self.begin + at + 1);
            if at.is_some() || self.fill()? == 0 {
                return Ok(Line::TooLarge(scan.finish()));
            }
        }
    }

    /// Reads more, at the end of what is there.
    fn fill(&mut self) -> io::Result<usize> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            if self.begin > 0 {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            } else {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(read) => {
                    self.end += read;
                    return Ok(read);
                }
            }
        }
    }

    /// Gives back what a large message needed.
    fn shrink(&mut self) {
        if self.begin == self.end && self.buffer.len() > BUFFER {
            (self.begin, self.end) = (0, 0);
            self.buffer.truncate(BUFFER);
            self.buffer.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives the input out in pieces of these lengths.
    struct Pieces(Vec<u8>, Vec<usize>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.pop().unwrap_or(7).min(self.0.len()).min(buffer.len());
            buffer[..most].copy_from_slice(&self.0[..most]);
            self.0.drain(..most);
            Ok(most)
        }
    }

    #[test]
    fn a_line_that_is_too_large_is_skipped_and_known_by_its_id() {
        let text = format!("{{\"id\":7,\"x\":\"{}\"}}\n{{}}\n", "y".repeat(300_000));
        let mut lines = Lines::new(text.as_bytes(), 100_000);
        let Some(Line::TooLarge(shape)) = lines.next().unwrap() else { panic!() };
        assert_eq!(shape.id.unwrap().to_string(), "7");
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"{}")));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_large_line_leaves_no_large_buffer() {
        let text = format!("{}\n{{}}", "y".repeat(5_000_000));
        let mut lines = Lines::new(text.as_bytes(), 10_000_000);
        assert!(matches!(lines.next().unwrap(), Some(Line::Whole(line)) if line.len() == 5_000_000));
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(b"{}")));
        assert_eq!(lines.next().unwrap(), None);
        assert!(lines.buffer.len() <= BUFFER);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_arrive(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            pieces in prop::collection::vec(1usize..30, 0..40),
        ) {
            let mut expected: Vec<_> = text.split(|byte| *byte == b'\n').collect();
            if expected.last().is_some_and(|last| last.is_empty()) {
                expected.pop();
            }
            let mut lines = Lines::new(Pieces(text.clone(), pieces), 20);
            for expected in expected {
                match lines.next().unwrap().unwrap() {
                    Line::Whole(line) => prop_assert_eq!(line, expected),
                    Line::TooLarge(shape) => {
                        prop_assert!(expected.len() > 20);
                        prop_assert_eq!(shape, Scan::of(expected));
                    }
                }
            }
            prop_assert!(lines.next().unwrap().is_none());
        }
    }
}
