//! Files as they are found: links, permissions, backups, other programs that write at the same time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use farthing_ambient::{Entropy, NoEntropy, SeededEntropy};
use farthing_install::{Change, Client, InstallError, Server, Status};

const BEFORE: &str = "{\n  \"mcpServers\": {}, // mine\n}\n";

fn server() -> Server {
    Server { name: "farthing".to_owned(), command: "/bin/farthing".to_owned(), args: vec!["mcp".to_owned()] }
}

fn install(file: &Path) -> Option<PathBuf> {
    let change = Change::installing(Client::Cursor, file.to_owned(), &server()).unwrap();
    change.make(&SeededEntropy::new(1)).unwrap()
}

fn uninstall(file: &Path) -> Option<PathBuf> {
    let change = Change::uninstalling(Client::Cursor, file.to_owned(), "farthing").unwrap();
    change.make(&SeededEntropy::new(2)).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_is_replaced_kept_and_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    fs::write(&file, BEFORE).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();

    let backup = install(&file).unwrap();
    assert_eq!(backup, folder.path().join("mcp.json.farthing-backup.1"));
    assert_eq!(fs::read_to_string(&backup).unwrap(), BEFORE);
    assert_eq!((mode(&file), mode(&backup)), (0o640, 0o640));
    assert_eq!(Status::of(Client::Cursor, &file, &server()).unwrap(), Status::Current);

    assert_eq!(uninstall(&file), Some(folder.path().join("mcp.json.farthing-backup.2")));
    assert_eq!(fs::read_to_string(&file).unwrap(), BEFORE, "byte for byte, with its empty map");
    assert_eq!(names(folder.path()).len(), 3, "no draft is left");
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    fs::write(&file, BEFORE).unwrap();
    install(&file);
    let (modified, files) = (fs::metadata(&file).unwrap().modified().unwrap(), names(folder.path()));
    assert_eq!(install(&file), None);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), modified);
    assert_eq!(names(folder.path()), files);
    uninstall(&file);
    assert_eq!(uninstall(&file), None);
}

#[test]
fn a_new_file_is_private_and_goes_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deep/er/mcp.json");
    assert_eq!(install(&file), None, "there was nothing to keep");
    assert_eq!(mode(&file), 0o600);
    assert!(uninstall(&file).is_some());
    assert!(!file.exists());
    assert_eq!(uninstall(&file), None);
}

#[test]
fn an_earlier_backup_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    fs::write(&file, BEFORE).unwrap();
    let first = folder.path().join("mcp.json.farthing-backup.1");
    symlink("nowhere", &first).unwrap();
    fs::write(folder.path().join("mcp.json.farthing-backup.2"), "old").unwrap();
    assert_eq!(install(&file), Some(folder.path().join("mcp.json.farthing-backup.3")));
    assert_eq!(fs::read_to_string(folder.path().join("mcp.json.farthing-backup.2")).unwrap(), "old");
    assert!(!folder.path().join("nowhere").exists(), "no link is followed");
}

#[test]
fn links_survive_and_their_targets_change() {
    let folder = tempfile::tempdir().unwrap();
    let (dotfiles, home) = (folder.path().join("dotfiles"), folder.path().join("home"));
    fs::create_dir(&dotfiles).unwrap();
    fs::create_dir(&home).unwrap();
    fs::write(dotfiles.join("cursor.json"), BEFORE).unwrap();
    symlink("../dotfiles/cursor.json", dotfiles.join("again.json")).unwrap();
    let file = home.join("mcp.json");
    symlink("../dotfiles/again.json", &file).unwrap();

    let backup = install(&file).unwrap();
    assert_eq!(backup.parent(), Some(home.as_path()), "not into somebody's repository");
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert!(fs::read_to_string(dotfiles.join("cursor.json")).unwrap().contains("/bin/farthing"));
    uninstall(&file);
    assert_eq!(fs::read_to_string(dotfiles.join("cursor.json")).unwrap(), BEFORE);
    assert_eq!(names(&dotfiles), ["again.json", "cursor.json"]);

    let loose = home.join("loose.json");
    symlink("../dotfiles/later/new.json", &loose).unwrap();
    install(&loose);
    assert!(dotfiles.join("later/new.json").is_file() && fs::symlink_metadata(&loose).unwrap().is_symlink());

    let circle = home.join("circle.json");
    symlink("circle.json", &circle).unwrap();
    assert!(Change::installing(Client::Cursor, circle, &server()).is_err());
}

#[test]
fn what_another_program_wrote_meanwhile_stays() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    for meanwhile in [Some("{\"mcpServers\": {\"new\": {}}}"), None] {
        fs::write(&file, BEFORE).unwrap();
        let change = Change::installing(Client::Cursor, file.clone(), &server()).unwrap();
        match meanwhile {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let error = change.make(&SeededEntropy::new(3)).unwrap_err();
        assert!(matches!(error, InstallError::Changed(_)), "{error}");
        assert_eq!(fs::read_to_string(&file).ok().as_deref(), meanwhile);
    }
    assert!(names(folder.path()).is_empty(), "neither draft nor backup is left");
    let absent = Change::installing(Client::Cursor, file.clone(), &server()).unwrap();
    fs::write(&file, "{}").unwrap();
    assert!(absent.make(&SeededEntropy::new(4)).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
}

/// Randomness that, when it is asked for, puts a folder in the place of one file and turns a link to another.
struct Meddler {
    link: PathBuf,
    old: PathBuf,
    new: PathBuf,
}

impl Entropy for Meddler {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        bytes.fill(7);
        fs::remove_file(&self.old).unwrap();
        fs::create_dir(&self.old).unwrap();
        fs::remove_file(&self.link).unwrap();
        symlink(&self.new, &self.link).unwrap();
        Ok(())
    }
}

impl std::fmt::Debug for Meddler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meddler")
    }
}

#[test]
fn a_file_that_cannot_be_replaced_leaves_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let [link, old, new] = ["mcp.json", "old.json", "new.json"].map(|name| folder.path().join(name));
    fs::write(&old, BEFORE).unwrap();
    fs::write(&new, BEFORE).unwrap();
    symlink(&old, &link).unwrap();
    let change = Change::installing(Client::Cursor, link.clone(), &server()).unwrap();
    // A file is not renamed over a folder, whoever asks for it.
    let error = change.make(&Meddler { link, old, new: new.clone() }).unwrap_err();
    assert!(matches!(error, InstallError::Io { doing: "replace", .. }), "{error}");
    assert_eq!(names(folder.path()), ["mcp.json", "new.json", "old.json"]);
    assert_eq!(fs::read_to_string(&new).unwrap(), BEFORE);
}

#[test]
fn what_is_no_small_text_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused =
        |name: &str| Change::installing(Client::Cursor, at(name), &server()).unwrap_err().to_string();
    fs::write(at("utf16"), b"\xff\xfe{\0}\0").unwrap();
    assert!(refused("utf16").contains("not UTF-8 text from byte 0"));
    fs::create_dir(at("folder")).unwrap();
    assert!(refused("folder").contains("not a file"));
    assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    assert!(refused("pipe").contains("not a file"));
    fs::File::create(at("large")).unwrap().set_len((32 << 20) + 1).unwrap();
    assert!(refused("large").contains("more than 33554432 bytes"));
    fs::write(at("broken"), "{\n  \"a\": ]\n}").unwrap();
    let said = refused("broken");
    assert!(said.contains("broken: line 2, column 8: ") && said.ends_with("nothing was changed"), "{said}");
    assert_eq!(names(folder.path()).len(), 5);
}

#[test]
fn other_changes_since_are_kept_when_the_entry_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    fs::write(&file, BEFORE).unwrap();
    install(&file);
    let text = fs::read_to_string(&file).unwrap().replace("// mine", "// still mine");
    fs::write(&file, &text).unwrap();
    uninstall(&file);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ // still mine\n}\n");
}

#[test]
fn a_server_that_says_something_else_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mcp.json");
    assert_eq!(Status::of(Client::Cursor, &file, &server()).unwrap(), Status::Absent);
    install(&file);
    let other = Server { args: vec!["mcp".to_owned(), "--agent".to_owned(), "x".to_owned()], ..server() };
    assert_eq!(Status::of(Client::Cursor, &file, &other).unwrap(), Status::Different);
    fs::write(&file, "{\"mcpServers\": {\"farthing\": {\"url\": \"x\"}}}").unwrap();
    assert_eq!(Status::of(Client::Cursor, &file, &server()).unwrap(), Status::Foreign);
    let elsewhere = Server { name: "purse".to_owned(), ..server() };
    assert_eq!(Status::of(Client::Cursor, &file, &elsewhere).unwrap(), Status::Absent);
}
