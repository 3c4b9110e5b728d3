//! Server-sent events, as the HTML standard reads them (section 9.2.6), with bounds.

use std::collections::VecDeque;

use memchr::memchr2;

use crate::guard::{Scan, Shape};

/// The longest name of a field, and the longest value of a field that is not `data`.
const MAX_NAME: usize = 16;
const MAX_VALUE: usize = 8 << 10;

/// What came between two empty lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// `id`, if the event has one of its own: an empty one takes back the one before.
    pub(super) id: Option<String>,
    /// `event`; empty means `message`.
    pub(super) name: String,
    /// The lines of `data`.
    pub(super) data: Data,
    /// `retry`: how long to wait before connecting again, in milliseconds.
    pub(super) retry: Option<u64>,
}

/// What an event carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Data {
    /// Its lines, with a line break between them.
    Whole(Vec<u8>),
    /// It was larger than it may be; this is what could be seen of it.
    TooLarge(Shape),
}

impl Default for Data {
    fn default() -> Self {
        Self::Whole(Vec::new())
    }
}

/// Reads events from bytes that come in pieces. What ends without an empty line is no event.
pub(super) struct Parser {
    most: usize,
    /// How many bytes of the mark have been seen, while the stream may still begin with one.
    mark: Option<usize>,
    after_return: bool,
    field: Field,
    /// The name of the field, then its value unless it is data.
    kept: Vec<u8>,
    overlong: bool,
    data: Kept,
    event: Event,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// The name is not complete.
    Name,
    /// A space may follow that is no part of the value.
    Space(Known),
    Value(Known),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Data,
    Name,
    Id,
    Retry,
    Other,
}

#[derive(Default)]
struct Kept {
    lines: usize,
    bytes: Vec<u8>,
    scan: Option<Scan>,
}

impl Parser {
    /// For events whose data is at most so large.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            mark: Some(0),
            after_return: false,
            field: Field::Name,
            kept: Vec::new(),
            overlong: false,
            data: Kept::default(),
            event: Event::default(),
        }
    }

    /// Takes the next bytes, and gives the events that they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], events: &mut VecDeque<Event>) {
        while let Some(&byte) = bytes.first() {
            let used = if self.is_mark(byte) || self.is_second_half(byte) {
                1
            } else if matches!(byte, b'\n' | b'\r') {
                self.after_return = byte == b'\r';
                self.line_ends(events);
                1
            } else {
                self.within_line(bytes)
            };
            bytes = &bytes[used..];
        }
    }

    /// The byte order mark at the very beginning is not read.
    fn is_mark(&mut self, byte: u8) -> bool {
        const MARK: [u8; 3] = [0xef, 0xbb, 0xbf];
        let Some(seen) = self.mark else { return false };
        if MARK.get(seen) == Some(&byte) {
            self.mark = Some(seen + 1);
            return true;
        }
        self.mark = None;
        if seen < MARK.len() {
            self.kept.extend_from_slice(&MARK[..seen]);
        }
        false
    }

    /// A carriage return and a line feed end one line together.
    fn is_second_half(&mut self, byte: u8) -> bool {
        std::mem::take(&mut self.after_return) && byte == b'\n'
    }

    fn within_line(&mut self, bytes: &[u8]) -> usize {
        match self.field {
            Field::Name if bytes[0] == b':' => {
                self.field = Field::Space(self.known());
                1
            }
            Field::Name => {
                self.keep(&bytes[..1], MAX_NAME);
                1
            }
            Field::Space(known) => {
                self.begin(known);
                usize::from(bytes[0] == b' ')
            }
            Field::Value(known) => {
                let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
                match known {
                    Known::Data => self.data.add(&bytes[..end], self.most),
                    Known::Other => {}
                    _ => self.keep(&bytes[..end], MAX_VALUE),
                }
                end
            }
        }
    }

    fn keep(&mut self, bytes: &[u8], most: usize) {
        if self.kept.len() + bytes.len() > most {
            self.overlong = true;
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn known(&mut self) -> Known {
        let overlong = std::mem::take(&mut self.overlong);
        let known = match self.kept.as_slice() {
            _ if overlong => Known::Other,
            b"data" => Known::Data,
            b"event" => Known::Name,
            b"id" => Known::Id,
            b"retry" => Known::Retry,
            _ => Known::Other,
        };
        self.kept.clear();
        known
    }

    fn begin(&mut self, known: Known) {
        self.field = Field::Value(known);
        if known == Known::Data {
            if self.data.lines > 0 {
                self.data.add(b"\n", self.most);
            }
            self.data.lines += 1;
        }
    }

    fn line_ends(&mut self, events: &mut VecDeque<Event>) {
        match self.field {
            Field::Name if self.kept.is_empty() && !self.overlong => return self.event_ends(events),
            // A line without a colon is a field with an empty value.
            Field::Name => {
                let known = self.known();
                self.begin(known);
            }
            Field::Space(known) => self.begin(known),
            Field::Value(_) => {}
        }
        if let Field::Value(known) = std::mem::replace(&mut self.field, Field::Name) {
            self.field_ends(known);
        }
    }

    fn field_ends(&mut self, known: Known) {
        let value = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.overlong) {
            return;
        }
        match (known, String::from_utf8(value)) {
            (Known::Name, Ok(name)) => self.event.name = name,
            (Known::Id, Ok(id)) if !id.contains('\0') => self.event.id = Some(id),
            (Known::Retry, Ok(number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.event.retry = number.parse().ok().or(self.event.retry);
            }
            _ => {}
        }
    }

    /// Events without data are given out as well if they carry an id or a time to wait: they prime a stream.
    fn event_ends(&mut self, events: &mut VecDeque<Event>) {
        let data = std::mem::take(&mut self.data);
        let mut event = std::mem::take(&mut self.event);
        if data.lines == 0 && event.id.is_none() && event.retry.is_none() {
            return;
        }
        event.data = match data.scan {
            Some(scan) => Data::TooLarge(scan.finish()),
            None => Data::Whole(data.bytes),
        };
        events.push_back(event);
    }
}

impl Kept {
    fn add(&mut self, bytes: &[u8], most: usize) {
        if let Some(scan) = &mut self.scan {
            return scan.feed(bytes);
        }
        if self.bytes.len() + bytes.len() <= most {
            return self.bytes.extend_from_slice(bytes);
        }
        let mut scan = Scan::default();
        scan.feed(&std::mem::take(&mut self.bytes));
        scan.feed(bytes);
        self.scan = Some(scan);
    }
}

/// Writes an event. The data must have no line break in it; neither the id nor the name has one.
pub(super) fn write(id: Option<&str>, name: &str, retry: Option<u64>, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 64);
    if !name.is_empty() {
        out.extend_from_slice(format!("event: {name}\n").as_bytes());
    }
    if let Some(id) = id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    if let Some(retry) = retry {
        out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(most: usize, pieces: &[&[u8]]) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::new(most), VecDeque::new());
        pieces.iter().for_each(|piece| parser.feed(piece, &mut events));
        events.into()
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> Event {
        let data = Data::Whole(data.as_bytes().to_vec());
        Event { id: id.map(str::to_owned), name: name.to_owned(), data, retry: None }
    }

    #[test]
    fn reads_as_the_standard_does() {
        for (text, expected) in [
            ("data: a\n\n", vec![event(None, "", "a")]),
            ("\u{feff}data:a\r\n\r\n", vec![event(None, "", "a")]),
            ("data: a\rdata:  b\r\rdata\n\n", vec![event(None, "", "a\n b"), event(None, "", "")]),
            ("data\ndata\n\n", vec![event(None, "", "\n")]),
            (": comment\n\nevent: x\n\ndata: y\n\n", vec![event(None, "", "y")]),
            ("id: 7\nevent: message\ndata: a:b\n\n", vec![event(Some("7"), "message", "a:b")]),
            ("id\n\nid: a\0b\ndata: x\n\n", vec![event(Some(""), "", ""), event(None, "", "x")]),
            ("Data: a\ndatas: b\n data: c\n\n", vec![]),
            ("data: never ended\n", vec![]),
            ("\n\n\n", vec![]),
        ] {
            assert_eq!(read(100, &[text.as_bytes()]), expected, "{text:?}");
        }
        let retried = read(9, &[b"retry: 250\ndata:\n\nretry: 1x\n\n"]);
        assert_eq!(retried, [Event { retry: Some(250), ..event(None, "", "") }]);
    }

    #[test]
    fn what_is_too_large_is_known_by_its_shape() {
        let text =
            format!("id: 1\ndata: {{\"id\":7,\ndata: \"result\":\"{}\"}}\n\ndata: b\n\n", "x".repeat(200));
        let mut events = read(100, &[text.as_bytes()]);
        assert_eq!(events.pop(), Some(event(None, "", "b")));
        let Data::TooLarge(shape) = events.remove(0).data else { panic!() };
        assert!(shape.result && shape.id.unwrap().to_string() == "7");
        let overlong = format!("id: {}\ndata: a\n\n{}: x\n\n", "i".repeat(9000), "n".repeat(1000));
        assert_eq!(read(100, &[overlong.as_bytes()]), [event(None, "", "a")]);
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write(Some("a-1"), "message", Some(9), b"{\"x\":1}");
        let expected = Event { retry: Some(9), ..event(Some("a-1"), "message", "{\"x\":1}") };
        assert_eq!(read(100, &[&written]), [expected]);
    }

    proptest! {
        #[test]
        fn events_are_the_same_however_they_arrive(
            text in "(\u{feff}|(data|id|event|retry|x)?:? ?[a-z0-9:é]{0,6}(\r|\n|\r\n){0,3}){0,12}",
            cuts in prop::collection::vec(0usize..120, 0..8),
            most in 0usize..12,
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let (mut pieces, mut from) = (Vec::new(), 0);
            for cut in cuts.into_iter().chain([bytes.len()]) {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            let whole = read(most, &[bytes]);
            prop_assert_eq!(&read(most, &pieces), &whole);
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(read(most, &single), whole);
        }
    }
}
