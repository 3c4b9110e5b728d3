//! Somebody at a terminal: waits for a question, and types.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use crate::world::{FARTHING, Wallet};

/// What a person saw, and the exit code.
pub(crate) struct Seen {
    pub(crate) screen: String,
    pub(crate) code: i32,
}

/// Runs a command of this wallet on a pseudo-terminal (util-linux's `script` makes one). Each answer is typed when its
/// question stands on the screen.
pub(crate) async fn types(wallet: &Wallet, args: &[&str], answers: &[(&str, &str)]) -> Seen {
    let words = [&[FARTHING], args].concat();
    let command = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let mut child = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("FARTHING_HOME", &wallet.home)
        .env_remove("FARTHING_PASSPHRASE")
        // The keyring of whoever runs the tests is theirs.
        .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut keyboard, mut display) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut screen, mut read_to) = (String::new(), 0);
    for (question, answer) in answers {
        while !screen[read_to..].contains(question) {
            let mut bytes = [0; 4096];
            let read = tokio::time::timeout(Duration::from_secs(20), display.read(&mut bytes)).await;
            let count = read.unwrap_or_else(|_| panic!("`{question}` was not asked: {screen}")).unwrap();
            assert_ne!(count, 0, "`{question}` was not asked: {screen}");
            screen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        read_to = screen.len();
        keyboard.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    let mut rest = Vec::new();
    display.read_to_end(&mut rest).await.unwrap();
    screen.push_str(&String::from_utf8_lossy(&rest));
    let code = child.wait().await.unwrap().code().unwrap();
    Seen { screen, code }
}
