//! Payments in the order of their times, in words.
use farthing_money::Usd;

use super::cover::Cover;
use crate::{Period, Window};

/// The most lines of a schedule.
const MAX_LINES: usize = 12;

/// A schedule that spends what a cover lets be spent: at every step, what the rest of the stretch loses by it.
pub(super) fn reaching(cover: &Cover, largest: Option<Usd>) -> Vec<String> {
    let spent = cover.rest.iter().zip(cover.rest.iter().skip(1));
    let spent = spent.map(|(before, after)| before.saturating_sub(*after)).enumerate();
    let payments: Vec<_> = spent.filter(|(_, amount)| *amount > 0).collect();
    let size = |amount| match largest {
        Some(largest) if amount > largest.get() => {
            format!("{}, in payments of at most {largest}", Usd::new(amount))
        }
        _ => Usd::new(amount).to_string(),
    };
    let line = |(step, amount): &(usize, u128)| {
        format!("{}: {}.", moment(cover, u64::try_from(*step).unwrap_or_default()), size(*amount))
    };
    let mut lines: Vec<_> = payments.iter().take(MAX_LINES).map(line).collect();
    if payments.len() > MAX_LINES {
        lines.push(format!("And so on, {} times more.", payments.len() - MAX_LINES));
    }
    lines
}

/// When a step of the stretch is: the days are counted from where the stretch begins.
fn moment(cover: &Cover, step: u64) -> String {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let day = Period::Day.minutes();
    let minutes = (cover.start + step) * cover.grid / 2;
    let seconds = if (cover.start + step) * cover.grid % 2 == 1 { ":30" } else { "" };
    let name =
        usize::try_from(minutes / day % 7).ok().and_then(|index| DAYS.get(index)).copied().unwrap_or("");
    let number = minutes / day - cover.start * cover.grid / 2 / day + 1;
    let first = match cover.months.contains(&(cover.start + step)) {
        true => ", the first of a month",
        false => "",
    };
    let (hour, minute) = (minutes % day / 60, minutes % 60);
    format!("Day {number}, a {name}{first}, {hour:02}:{minute:02}{seconds} UTC")
}

/// A window as it stands in a sentence.
pub(crate) fn window_name(window: Window) -> String {
    match window {
        Window::Rolling(_) => format!("in any {window}"),
        Window::Calendar(period) => format!("per calendar {} (UTC)", period.as_str()),
        Window::Lifetime => "ever".to_owned(),
    }
}
