//! The repository's documentation: its Markdown files, and the code blocks in them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::invocation::Failure;

/// Where no documentation of ours lies.
const SKIPPED: [&str; 4] = ["target", "node_modules", ".git", "corpus"];

/// Contents by path below the root.
pub(crate) type Pages = BTreeMap<PathBuf, String>;

/// Every Markdown file below a root.
///
/// # Errors
/// A folder or a file that can't be read.
pub(crate) fn read(root: &Path) -> Result<Pages, Failure> {
    let mut pages = Pages::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).map_err(|error| cannot_read(&folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| cannot_read(&folder, &error))?;
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry.file_type().map_err(|error| cannot_read(&path, &error))?;
            if kind.is_dir() && !SKIPPED.iter().any(|&skipped| name == skipped) {
                folders.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "md") {
                let content =
                    fs::read_to_string(root.join(&path)).map_err(|error| cannot_read(&path, &error))?;
                pages.insert(path, content);
            }
        }
    }
    Ok(pages)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

/// A line of a page.
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    /// Whether it stands in a fenced code block.
    pub(crate) is_code: bool,
}

/// A page's lines, without the fences.
pub(crate) fn lines(content: &str) -> impl Iterator<Item = Line<'_>> {
    let mut fenced = false;
    content.lines().enumerate().filter_map(move |(index, text)| {
        let is_fence = text.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!is_fence).then_some(Line { number: index + 1, text, is_code: fenced })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_peoples_pages_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/b.md", "node_modules/c.md", "target/d.md"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let pages = read(folder.path()).unwrap();
        assert_eq!(pages.keys().map(PathBuf::as_path).collect::<Vec<_>>(), [Path::new("a/b.md")]);
    }

    #[test]
    fn code_is_told_from_prose() {
        let found: Vec<_> = lines("a\n```sh\nb\n```\nc").map(|l| (l.number, l.text, l.is_code)).collect();
        assert_eq!(found, [(1, "a", false), (3, "b", true), (5, "c", false)]);
    }
}
