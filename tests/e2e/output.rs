//! What the commands print: one JSON object, whatever happens, and no panic when nobody takes the output.

use std::process::Stdio;

use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn errors_are_json_too() {
    let world = World::start().await;
    for (args, exit) in [
        (&["nonsense"][..], 2),
        (&["fetch"], 2),
        (&["fetch", "http://127.0.0.1:1/", "--timeout", "0"], 2),
        (&["receipt", ""], 2),
        (&["receipt", "ZZZZZZZZ"], 2),
        (&["fund", "--network", "mars"], 2),
        (&["ledger", "verify", "--expect-head", "00"], 9),
    ] {
        let answer = world.wallet.json(args, exit).await;
        assert_eq!(answer["error"]["exit"], exit, "{args:?}: {answer}");
    }
    let damaged = world.wallet.json(&["ledger", "verify", "--expect-head", "00"], 9).await;
    assert_eq!(damaged["whole"], false, "the error stands beside the result: {damaged}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused_before_paying() {
    let world = World::start().await;
    let folder = world.wallet.home.to_str().unwrap().to_owned();
    let nowhere = format!("{folder}/no/such/folder");
    for file in [folder, nowhere] {
        world.wallet.json(&["fetch", &world.at("/weather/berlin"), "-o", &file], 2).await;
    }
    assert_eq!(world.earned().await, 0);
}

#[tokio::test]
async fn a_checked_gateway_can_start() {
    let world = World::start().await;
    let file = world.wallet.home.join("gateway.yaml");
    let payee = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";
    let text = format!(
        "upstream: ftp://127.0.0.1\npay_to: \"{payee}\"\naccepts: [base-sepolia]\n\
         facilitator: {{url: \"https://facilitator.example.com\"}}\n\
         routes: [{{match: \"GET /a\", price: \"$1\"}}]\n"
    );
    std::fs::write(&file, text).unwrap();
    let answer = world.wallet.json(&["gateway", "--check", "-c", file.to_str().unwrap()], 2).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("gateway.yaml:1:11"), "{answer}");
}

#[cfg(target_os = "linux")]
async fn write_to(world: &World, args: &[&str], stdout: Stdio) -> std::process::Output {
    let mut command = world.wallet.command(args);
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().await.unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_stdout_is_an_error_and_a_closed_one_is_not() {
    let world = World::start().await;
    let url = world.at("/weather/berlin");
    for args in [&["fetch", &url][..], &["history"], &["history", "--json"], &["completions", "bash"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = write_to(&world, args, full.into()).await;
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("could not be written"), "{args:?}: {said}");

        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = write_to(&world, args, writer.into()).await;
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let purchases: Value = world.wallet.json(&["history"], 0).await;
    assert!(purchases["purchases"].as_array().unwrap().iter().all(|purchase| purchase["state"] == "paid"));
}
