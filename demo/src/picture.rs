//! The README's picture: this very program's output, from a real run.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::stage::Broken;

/// Plays the demo in a process of its own, in colour, and draws what it printed.
pub(crate) async fn draw(farthing: &Path, file: &Path) -> Result<(), Broken> {
    let played = Command::new(std::env::current_exe()?)
        .arg("--farthing")
        .arg(farthing)
        .env("CLICOLOR_FORCE", "1")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    if !played.status.success() {
        return Err(Broken(format!("the demo ended with {}", played.status)));
    }
    let text = String::from_utf8(played.stdout).map_err(|error| Broken(error.to_string()))?;
    let screen = format!("\u{1b}[33m$ cargo xtask demo\u{1b}[0m\n{text}");
    std::fs::write(
        file,
        anstyle_svg::Term::new().palette(anstyle_lossy::palette::WIN10_CONSOLE).render_svg(&screen),
    )?;
    Ok(())
}
