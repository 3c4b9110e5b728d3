use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::bounded::within;
use crate::{Passphrase, UnlockError, descriptor};

/// How long a command may take.
pub(crate) const MAX_TIME: Duration = Duration::from_secs(10);

/// The first line that a program prints. Its errors go where ours go.
pub(crate) fn read(command: &[String], max_time: Duration) -> Result<Passphrase, UnlockError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(UnlockError::Command { program: String::new(), why: "it is empty".to_owned() });
    };
    let failed = |why: String| UnlockError::Command { program: program.clone(), why };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let deadline = Instant::now() + max_time;
    let line = output(&mut child, deadline).and_then(|line| {
        let status = wait(&mut child, deadline)?;
        if status.success() { Ok(line) } else { Err(format!("it ended with {status}")) }
    });
    if line.is_err() {
        // It may have ended by itself meanwhile; either way it must not stay a zombie.
        let _ = child.kill();
        let _ = child.wait();
    }
    Passphrase::first_line(line.map_err(failed)?, &format!("the command `{program}`"))
}

/// The output's first line. A program's children can keep the pipe open after it was killed.
fn output(child: &mut Child, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, String> {
    let stdout = child.stdout.take().ok_or("its output is not there")?;
    let left = deadline.saturating_duration_since(Instant::now());
    match within(left, move || descriptor::first_line(stdout)) {
        Some(line) => line.map_err(|error| error.to_string()),
        None => Err("it took too long".to_owned()),
    }
}

fn wait(child: &mut Child, deadline: Instant) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            Ok(None) => return Err("it took too long".to_owned()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_for(command: &[&str], time: Duration) -> Result<Passphrase, UnlockError> {
        let command: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        read(&command, time)
    }

    fn run(command: &[&str]) -> Result<Passphrase, UnlockError> {
        run_for(command, 6 * MAX_TIME)
    }

    fn why(command: &[&str]) -> String {
        run(command).unwrap_err().to_string()
    }

    fn is_too_long(command: &[&str]) -> bool {
        let error = run_for(command, Duration::from_millis(500)).unwrap_err();
        error.to_string().contains("too long")
    }

    #[test]
    fn the_output_is_the_passphrase() {
        let expected = Passphrase::new("a b; $HOME".to_owned());
        assert!(run(&["printf", "a b; $HOME"]).unwrap().same(&expected), "no shell is involved");
        assert!(run(&["printf", "a b; $HOME\\nurl: x\\n"]).unwrap().same(&expected));
    }

    #[test]
    fn failures_are_told_and_bounded() {
        assert!(why(&[]).contains("empty"));
        assert!(why(&["/nonexistent/program"]).contains("No such file"));
        assert!(why(&["sh", "-c", "echo x; exit 3"]).contains("exit status: 3"));
        assert!(why(&["true"]).contains("is empty"));
        assert!(why(&["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x"]).contains("gave no passphrase"));
        let began = Instant::now();
        assert!(is_too_long(&["sleep", "60"]));
        assert!(is_too_long(&["sh", "-c", "sleep 2 2>&- & echo x; wait"]));
        let grandchild_holds_the_pipe = ["sh", "-c", "sleep 2 2>&- & exec 2>&-; sleep 3"];
        assert!(is_too_long(&grandchild_holds_the_pipe));
        assert!(began.elapsed() < Duration::from_secs(60), "it is killed");
    }
}
