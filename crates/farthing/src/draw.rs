//! What is drawn on a terminal: bars as long as a share is large, and how wide the terminal is.

use std::io::IsTerminal as _;

use anstyle::Style;
use farthing_money::Usd;

/// How wide text is set where nobody says how wide the terminal is.
const USUAL: usize = 80;
/// Text on wide terminals is not wider than this: the eye loses the line.
const WIDEST: usize = 120;
/// The longest bar, and the shortest that says something.
const BAR: std::ops::RangeInclusive<usize> = 8..=40;
/// The eighths of a cell, from none to seven.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// The columns of the terminal that stdout is; none where it is no terminal, and nothing is drawn then.
pub(crate) fn columns() -> Option<usize> {
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    Some(told.filter(|columns| *columns > 0).unwrap_or(USUAL).min(WIDEST))
}

/// How long bars may be beside so many columns of text; none where there is no room for one.
pub(crate) fn room(columns: usize, text: usize) -> Option<usize> {
    let room = columns.saturating_sub(text).min(*BAR.end());
    (room >= *BAR.start()).then_some(room)
}

/// A text of at most `width` characters; what is missing is told by an ellipsis.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A bar of `length` columns: what is settled of the whole, then, shaded, what is reserved, then a dim line.
pub(crate) fn bar(settled: Usd, reserved: Usd, whole: Usd, style: Style, length: usize) -> String {
    use crate::output::{DIM, WARN};
    let solid = blocks(eighths(settled, whole, length), settled != Usd::ZERO);
    let drawn = solid.chars().count();
    let both = settled.checked_add(reserved).unwrap_or(Usd::new(u128::MAX));
    let least = usize::from(reserved != Usd::ZERO && drawn < length);
    let shaded = eighths(both, whole, length).div_ceil(8).saturating_sub(drawn).max(least);
    let rest = length.saturating_sub(drawn + shaded);
    let (shaded, rest) = ("▒".repeat(shaded), "─".repeat(rest));
    format!("{style}{solid}{style:#}{WARN}{shaded}{WARN:#}{DIM}{rest}{DIM:#}")
}

/// How many eighths of a cell a share fills.
fn eighths(part: Usd, whole: Usd, length: usize) -> usize {
    if whole == Usd::ZERO {
        return if part == Usd::ZERO { 0 } else { length * 8 };
    }
    // A ratio, for drawing only: a thousandth of a cell is not seen. Halved until nothing can overflow.
    let shift = u128::BITS.saturating_sub(whole.get().max(part.get()).leading_zeros()).saturating_sub(96);
    let (part, whole) = (part.get().min(whole.get()) >> shift, (whole.get() >> shift).max(1));
    usize::try_from(part * (length as u128) * 8 / whole).unwrap_or(length * 8).min(length * 8)
}

/// So many eighths in blocks; the least that can be seen, where there is something to see.
fn blocks(eighths: usize, is_something: bool) -> String {
    if eighths == 0 {
        return if is_something { EIGHTHS[1].to_owned() } else { String::new() };
    }
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(settled: u128, reserved: u128, whole: u128, length: usize) -> String {
        let bar = bar(Usd::new(settled), Usd::new(reserved), Usd::new(whole), Style::new(), length);
        anstream::adapter::strip_str(&bar).to_string()
    }

    #[test]
    fn bars_are_as_long_as_the_share_and_the_room() {
        for (settled, reserved, whole, text) in [
            (0, 0, 8, "────"),
            (8, 0, 8, "████"),
            (9, 0, 8, "████"),
            (4, 0, 8, "██──"),
            (3, 0, 8, "█▌──"),
            (1, 0, 1_000_000, "▏───"),
            (4, 2, 8, "██▒─"),
            (4, 1, 1_000_000, "▏▒──"),
            (0, 8, 8, "▒▒▒▒"),
            (1, 0, 0, "████"),
            (0, 0, 0, "────"),
            (u128::MAX / 2, 0, u128::MAX, "█▉──"),
        ] {
            assert_eq!(drawn(settled, reserved, whole, 4), text, "{settled} + {reserved} of {whole}");
        }
    }

    #[test]
    fn every_bar_has_its_length() {
        for (whole, length) in [(1, 10), (7, 10), (100, 8)] {
            for (settled, reserved) in (0..=whole + 1).flat_map(|n| (0..=whole + 1).map(move |m| (n, m))) {
                let text = drawn(settled, reserved, whole, length);
                assert_eq!(text.chars().count(), length, "{settled} + {reserved} of {whole}: {text}");
            }
        }
    }

    #[test]
    fn a_narrow_terminal_has_no_bars() {
        assert_eq!(room(80, 50), Some(30));
        assert_eq!(room(120, 50), Some(40));
        assert_eq!(room(50, 45), None);
    }
}
