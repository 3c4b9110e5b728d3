//! A receipt as one page of PDF. Coordinates are points from the lower left corner of a sheet of A4.

use pdf_writer::types::TextRenderingMode;
use pdf_writer::{Content, Name, Pdf, Rect, Ref, Str, TextStr};

use super::{Receipt, Section};

const SHEET: (i16, i16) = (595, 842);
const LEFT: i16 = 56;
const RIGHT: i16 = SHEET.0 - LEFT;
/// Where what is said of a name begins.
const TEXT_LEFT: i16 = 150;
/// From one line's foot to the next one's.
const LEADING: i16 = 12;

/// How many letters of Courier, each 0.6 of its size wide, stand between `TEXT_LEFT` and `RIGHT` in 9 points.
const LINE_LETTERS: usize = 72;
/// How many lines more than one each the texts may take together, so that the sheet holds them.
const SPARE_LINES: usize = 12;

const PLAIN: Name<'_> = Name(b"Plain");
const BOLD: Name<'_> = Name(b"Bold");
const MONO: Name<'_> = Name(b"Mono");
/// The fonts by the names that every reader knows them by.
const FONTS: [(Name<'_>, &[u8]); 3] = [(PLAIN, b"Helvetica"), (BOLD, b"Helvetica-Bold"), (MONO, b"Courier")];

/// Shades of grey, from black to white.
const INK: u8 = 25;
const SOFT: u8 = 105;
const RULE: u8 = 215;

const CATALOG: Ref = Ref::new(1);
const PAGES: Ref = Ref::new(2);
const PAGE: Ref = Ref::new(3);
const CONTENT: Ref = Ref::new(4);
const INFO: Ref = Ref::new(5);
const FIRST_FONT: i32 = 6;

pub(super) fn write(receipt: &Receipt) -> Vec<u8> {
    let mut pdf = Pdf::new();
    pdf.catalog(CATALOG).pages(PAGES).lang(TextStr("en"));
    pdf.pages(PAGES).kids([PAGE]).count(1);
    let title = format!("{} {}", receipt.title, receipt.id);
    pdf.document_info(INFO).title(TextStr(&title)).producer(TextStr("Farthing"));
    fonts(&mut pdf);
    let mut page = pdf.page(PAGE);
    page.parent(PAGES).contents(CONTENT).media_box(Rect::new(0.0, 0.0, SHEET.0.into(), SHEET.1.into()));
    let mut resources = page.resources();
    let mut names = resources.fonts();
    for ((name, _), id) in FONTS.iter().zip(FIRST_FONT..) {
        names.pair(*name, Ref::new(id));
    }
    drop(names);
    drop(resources);
    drop(page);
    pdf.stream(CONTENT, &Sheet::new().filled(receipt));
    pdf.finish()
}

fn fonts(pdf: &mut Pdf) {
    for ((_, font), id) in FONTS.iter().zip(FIRST_FONT..) {
        let mut written = pdf.type1_font(Ref::new(id));
        written.base_font(Name(font)).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
}

/// A sheet that is being filled from the top.
struct Sheet {
    content: Content,
    /// The foot of the next line.
    y: i16,
    spare_lines: usize,
}

impl Sheet {
    fn new() -> Self {
        Self { content: Content::new(), y: SHEET.1 - 64, spare_lines: SPARE_LINES }
    }

    fn filled(mut self, receipt: &Receipt) -> Vec<u8> {
        self.head(receipt);
        receipt.sections.iter().for_each(|section| self.section(section));
        self.foot(receipt);
        self.content.finish().into_vec()
    }

    fn head(&mut self, receipt: &Receipt) {
        self.text(LEFT, BOLD, 10, INK, b"Farthing");
        self.y -= 34;
        self.text(LEFT, PLAIN, 10, SOFT, &encoded(receipt.title));
        self.y -= 26;
        self.text(LEFT, BOLD, 24, INK, &encoded(&receipt.value));
        self.y -= 18;
        let when = format!("{}, {}", receipt.state, receipt.when);
        self.text(LEFT, PLAIN, 10, SOFT, &encoded(&when));
        self.y -= 14;
        self.rule();
    }

    fn section(&mut self, section: &Section) {
        self.y -= 20;
        self.text(LEFT, BOLD, 9, INK, &encoded(section.title));
        self.y -= 3;
        for line in &section.lines {
            let parts = self.broken(&encoded(&line.text));
            self.y -= LEADING;
            self.text(LEFT, PLAIN, 9, SOFT, &encoded(line.name));
            for (index, part) in parts.iter().enumerate() {
                self.y -= if index == 0 { 0 } else { LEADING };
                self.text(TEXT_LEFT, MONO, 9, INK, part);
            }
        }
    }

    fn foot(&mut self, receipt: &Receipt) {
        self.y -= 18;
        self.rule();
        self.y -= 16;
        let why = "The row's hash chains this record to every one before it. To see that the ledger still holds it:";
        self.text(LEFT, PLAIN, 9, SOFT, &encoded(why));
        self.y -= LEADING;
        self.text(LEFT, MONO, 8, INK, &encoded(&receipt.proof));
    }

    /// A text in lines, and what is left of the sheet's spare lines. A text that takes more ends in three dots.
    fn broken(&mut self, text: &[u8]) -> Vec<Vec<u8>> {
        let mut lines: Vec<Vec<u8>> = text.chunks(LINE_LETTERS).map(<[u8]>::to_vec).collect();
        if lines.len() > self.spare_lines + 1 {
            lines.truncate(self.spare_lines + 1);
            if let Some(last) = lines.last_mut() {
                last.truncate(LINE_LETTERS - 3);
                last.extend(b"...");
            }
        }
        self.spare_lines -= lines.len().saturating_sub(1);
        lines
    }

    fn text(&mut self, x: i16, font: Name<'_>, size: u8, shade: u8, text: &[u8]) {
        self.content.set_fill_gray(grey(shade)).begin_text().set_font(font, size.into());
        self.content.set_text_rendering_mode(TextRenderingMode::Fill);
        self.content.next_line(x.into(), self.y.into()).show(Str(text)).end_text();
    }

    fn rule(&mut self) {
        self.content.set_stroke_gray(grey(RULE)).set_line_width(0.75);
        self.content.move_to(LEFT.into(), self.y.into()).line_to(RIGHT.into(), self.y.into()).stroke();
    }
}

/// A shade as PDF has it, from 0 for black to 1 for white.
#[expect(clippy::float_arithmetic, reason = "a shade of grey, not money")]
fn grey(shade: u8) -> f32 {
    f32::from(shade) / 255.0
}

/// Text in the encoding of the standard fonts (PDF 32000-1, annex D.2). What it does not have is written as its
/// number: nothing is left out, and nothing looks like something else.
fn encoded(text: &str) -> Vec<u8> {
    text.chars().flat_map(letter).collect()
}

fn letter(c: char) -> Vec<u8> {
    let code = match c {
        ' '..='~' | '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        '€' => Some(0x80),
        '…' => Some(0x85),
        '‘' => Some(0x91),
        '’' => Some(0x92),
        '“' => Some(0x93),
        '”' => Some(0x94),
        '–' => Some(0x96),
        '—' => Some(0x97),
        _ => None,
    };
    code.map_or_else(|| c.escape_unicode().to_string().into_bytes(), |code| vec![code])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_letter_is_written_once_as_itself_or_as_its_number() {
        assert_eq!(encoded("café €5"), b"caf\xe9 \x805");
        assert_eq!(encoded("東京\u{202e}\n"), b"\\u{6771}\\u{4eac}\\u{202e}\\u{a}");
    }

    #[test]
    fn a_sheet_has_room_for_so_many_lines_and_no_more() {
        let mut sheet = Sheet::new();
        assert_eq!(sheet.broken(&[b'a'; 73]).len(), 2);
        let rest = sheet.broken(&[b'b'; 10_000]);
        assert_eq!(rest.len(), SPARE_LINES);
        assert!(rest.last().unwrap().ends_with(b"b..."));
        assert_eq!(sheet.broken(&[b'c'; 200]), [[vec![b'c'; 69], b"...".to_vec()].concat()]);
    }

    proptest! {
        #[test]
        fn any_text_is_encoded_without_loss_or_control(text in "\\PC{0,40}") {
            let bytes = encoded(&text);
            prop_assert!(bytes.iter().all(|b| *b >= 0x20 && *b != 0x7f));
            prop_assert!(bytes.len() >= text.chars().count());
        }
    }
}
