//! The documentation's links: every relative one leads to a file of the repository, every `#anchor` to a heading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use crate::invocation::Failure;
use crate::pages::{self, Pages};
use crate::run::Outcome;
use crate::workspace::{root, say};

/// Reads every Markdown file of the repository.
///
/// # Errors
/// The links that lead nowhere, each with file and line.
pub(crate) fn check() -> Result<Outcome, Failure> {
    let root = root();
    let pages = pages::read(&root)?;
    let mut broken = Vec::new();
    let mut count = 0_usize;
    for (page, content) in &pages {
        for link in links(content).into_iter().filter(|link| is_local(&link.target)) {
            count += 1;
            if let Some(why) = dead(&root, &pages, page, &link.target) {
                broken.push(format!("  {}:{}: {} {why}", page.display(), link.line, link.target));
            }
        }
    }
    if broken.is_empty() {
        say(&format!("{count} links in {} pages", pages.len()));
        return Ok(Outcome::Passed);
    }
    Err(Failure::new(format!("links that lead nowhere:\n{}", broken.join("\n"))))
}

struct Link {
    line: usize,
    target: String,
}

/// Markdown's `](target)` and HTML's `src="target"` and `href="target"`, outside code.
fn links(content: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for line in pages::lines(content).filter(|line| !line.is_code) {
        let outside_spans = line.text.split('`').step_by(2).collect::<Vec<_>>().join("");
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for (start, _) in outside_spans.match_indices(opening) {
                let rest = &outside_spans[start + opening.len()..];
                let Some(end) = rest.find(closing) else { continue };
                // A title may follow the target: [text](target "title").
                let target = rest[..end].split_whitespace().next().unwrap_or_default();
                found.push(Link { line: line.number, target: target.to_owned() });
            }
        }
    }
    found
}

fn is_local(target: &str) -> bool {
    !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:")
}

/// Why a link leads nowhere, if it does.
fn dead(root: &Path, pages: &Pages, page: &Path, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let wanted = if path.is_empty() { Some(page.to_path_buf()) } else { resolve(page, path) };
    let Some(wanted) = wanted else { return Some("leaves the repository".to_owned()) };
    if !root.join(&wanted).exists() {
        return Some("does not exist".to_owned());
    }
    let (anchor, content) = (anchor?, pages.get(&wanted)?);
    (!anchors(content).contains(anchor)).then(|| format!("has no heading #{anchor}"))
}

/// A link's path below the root; `None` if it leads out of it.
fn resolve(page: &Path, link: &str) -> Option<PathBuf> {
    let mut resolved = page.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(resolved)
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(content: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for line in pages::lines(content).filter(|line| !line.is_code) {
        let title = line.text.trim_start_matches('#');
        if title.len() == line.text.len() || !title.starts_with(' ') {
            continue;
        }
        let anchor = slug(title);
        let count = seen.entry(anchor.clone()).or_default();
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

fn slug(title: &str) -> String {
    let lower = title.trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn written(list: &[(&str, &str)]) -> (tempfile::TempDir, Pages) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in list {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let pages = pages::read(folder.path()).unwrap();
        (folder, pages)
    }

    fn why(target: &str) -> Option<String> {
        let (folder, pages) = written(&[
            ("README.md", "# Farthing\n## Exit codes\n## Exit codes\n```\n# no heading\n```\n"),
            ("docs/wallet.md", "# `farthing fund`, and more!\n"),
            ("docs/node_modules/x/README.md", "[dead](nowhere.md)"),
            ("docs/image.svg", ""),
        ]);
        dead(folder.path(), &pages, Path::new("docs/wallet.md"), target)
    }

    #[test]
    fn living_links_are_left_alone() {
        for target in [
            "image.svg",
            "../README.md",
            "../README.md#exit-codes",
            "#farthing-fund-and-more",
            "../docs",
            "./image.svg",
        ] {
            assert_eq!(why(target), None, "{target}");
        }
        assert_eq!(why("../README.md#exit-codes-1"), None, "the second heading of a name");
    }

    #[test]
    fn dead_links_say_why() {
        assert_eq!(why("nothing.md").unwrap(), "does not exist");
        assert_eq!(why("../../secret").unwrap(), "leaves the repository");
        assert_eq!(why("/etc/passwd").unwrap(), "leaves the repository");
        assert_eq!(why("../README.md#no-heading").unwrap(), "has no heading #no-heading");
    }

    #[test]
    fn links_are_found_in_prose_and_not_in_code() {
        let page = "[a](b.md) and ![c](d.png \"title\")\n<img src=\"e.svg\">\n`[f](g.md)`\n```\n[h](i.md)\n```\n[j](k)";
        let found: Vec<_> = links(page).into_iter().map(|l| (l.line, l.target)).collect();
        let expected = [(1, "b.md"), (1, "d.png"), (2, "e.svg"), (7, "k")];
        assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
    }
}
