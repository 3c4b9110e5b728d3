//! With a person at a terminal: a pseudo-terminal with typed answers.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::scratch::{CURSOR, Scratch};

/// Runs a command on a terminal on which these lines are typed, and gives its code and all that it showed.
fn at_terminal(scratch: &Scratch, args: &[&str], typed: &str) -> (i32, String) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let stdio = || Stdio::from(terminal.try_clone().unwrap());
    let mut command = scratch.command(args);
    let mut child =
        command.env("TERM", "xterm").stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
    // The end of the output is the end of its last holder.
    drop((command, terminal));
    let mut person = File::from(person);
    person.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = person.read(&mut part) {
        shown.extend_from_slice(&part[..length]);
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn a_person_chooses_sees_and_agrees() {
    let scratch = Scratch::new();
    let (code, shown) = at_terminal(&scratch, &["install"], "1 codex\ny\n");
    assert_eq!(code, 0, "{shown}");
    for part in
        ["Cursor", "Goose", "Which?", "+[mcp_servers.farthing]", "Make these 2 changes?", "codex mcp list"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains("\u{1b}["), "in colours");
    assert!(scratch.read(".cursor/mcp.json").contains("farthing"));
    assert!(!scratch.read(".config/goose/config.yaml").contains("farthing"));

    let (code, shown) = at_terminal(&scratch, &["uninstall"], "all\nyes\n");
    assert!(code == 0 && !shown.contains("Goose"), "only where it is installed: {shown}");
    assert_eq!(scratch.read(".cursor/mcp.json"), CURSOR);
}

#[test]
fn a_person_who_does_not_agree_keeps_everything() {
    let scratch = Scratch::new();
    let before = scratch.files();
    for typed in ["\n", "1\n\n", "1\nn\n", "9\n"] {
        let (code, shown) = at_terminal(&scratch, &["install"], typed);
        assert_eq!(code, 2, "{shown}");
        assert_eq!(scratch.files(), before);
    }
}
