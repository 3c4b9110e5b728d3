//! Disks that are full or read-only, and ledgers that somebody takes away.
//!
//! A test that needs a small disk starts itself again in a user and mount namespace of its own (`unshare`), where it may
//! mount one without being root, and which takes the disk along when it ends. Where no such namespace can be made, the
//! tests fail, unless the variable `FARTHING_WITHOUT_NAMESPACES` says that this is known.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use farthing_ledger::PurchaseState;

use super::audit::bought;
use super::shop::{Shop, body_of, shown};

const INSIDE: &str = "FARTHING_TEST_IN_NAMESPACE";
const WITHOUT: &str = "FARTHING_WITHOUT_NAMESPACES";
const PAGE_BYTES: u64 = 4096;

/// Whether this is the process inside the namespace. Outside, the test is run inside instead.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        let known = std::env::var_os(WITHOUT).is_some();
        assert!(known, "`unshare --user --mount` is refused here; {WITHOUT}=1 leaves these tests out");
        return false;
    }
    let own = std::env::current_exe().unwrap();
    let done = unshare().arg(own).args([test, "--exact", "--nocapture"]).env(INSIDE, "1").output().unwrap();
    assert!(done.status.success() && shown(&done).contains("1 passed"), "{}", shown(&done));
    false
}

/// A small disk.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one in the place of this folder, with what the folder holds.
    fn under(folder: &Path) -> Self {
        let aside = folder.with_extension("aside");
        std::fs::create_dir_all(folder).unwrap();
        std::fs::rename(folder, &aside).unwrap();
        std::fs::create_dir(folder).unwrap();
        let disk = Self(folder.to_owned());
        disk.run("mount", &["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]);
        let copied = Command::new("cp").arg("-a").arg(aside.join(".")).arg(folder).status().unwrap();
        assert!(copied.success());
        disk
    }

    fn run(&self, program: &str, args: &[&str]) {
        let done = Command::new(program).args(args).arg(&self.0).output().unwrap();
        assert!(done.status.success(), "{}", shown(&done));
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Fills it, but for so many pages.
    fn fill(&self, but_pages: u64) {
        let mut file = File::create(self.ballast()).unwrap();
        while file.write_all(&[0; PAGE_BYTES as usize]).is_ok() {}
        let written = file.metadata().unwrap().len() / PAGE_BYTES;
        file.set_len(written.saturating_sub(but_pages) * PAGE_BYTES).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

/// The amounts of room that are tried, in pages: none, and then more and more, until a call fits.
fn rooms() -> impl Iterator<Item = u64> {
    (0..200).step_by(5)
}

/// With more and more room: what cannot be recorded is not signed, what was signed is recorded, and when there is room
/// again the owner goes on.
#[tokio::test]
async fn a_full_disk_refuses_before_signing() {
    if !inside("crash::disk::a_full_disk_refuses_before_signing") {
        return;
    }
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    let disk = Disk::under(&wallet.home);
    for pages in rooms() {
        let path = format!("/weather/{pages}");
        let url = shop.at(&path);
        disk.fill(pages);
        let done = shop.run(wallet, &["fetch", &url], None).await;
        disk.free();
        let bought = bought(wallet).await;
        let signed = bought.iter().any(|one| one.terms.url == url && one.signed.is_some());
        if pages == 0 {
            let said = shown(&done);
            assert!(!signed && said.contains("free some space"), "clear, and before a signature: {said}");
        }
        assert!(signed || shop.upstream().calls(&path) == 0, "{pages}: nothing unrecorded was sent");
        shop.audit().await;
        assert_eq!(shop.go_on(wallet, &url).await, body_of(&path), "{pages} pages");
        if done.status.success() {
            assert!(pages > 0);
            break;
        }
    }
    shop.close_the_books().await;
}

/// How long a gateway's disk stays full: longer than it takes to refuse. With room for the claim but not for the
/// settlement the buyer is kept waiting until there is room.
const FULL_FOR: Duration = Duration::from_secs(3);

/// A seller who cannot write serves nobody and charges nobody, and goes on when there is room again.
#[tokio::test]
async fn a_gateway_on_a_full_disk_serves_and_charges_nobody() {
    if !inside("crash::disk::a_gateway_on_a_full_disk_serves_and_charges_nobody") {
        return;
    }
    let mut shop = Shop::new().await;
    let disk = Disk::under(&shop.gateways[0].home());
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    for pages in rooms() {
        let path = format!("/weather/{pages}");
        let url = shop.at(&path);
        disk.fill(pages);
        let args = ["fetch", &url, "--json"];
        let mut fetch = std::pin::pin!(shop.run(wallet, &args, None));
        let patience = if pages == 0 { 20 * FULL_FOR } else { FULL_FOR };
        let in_time = tokio::time::timeout(patience, &mut fetch).await.ok();
        if pages == 0 {
            let said = shown(in_time.as_ref().expect("with no room at all it refuses at once"));
            assert!(said.contains("503"), "{said}");
            assert_eq!(shop.upstream().calls(&path), 0, "not served");
            assert_eq!(shop.audit().await.paid, 0, "not charged");
        }
        let fitted = in_time.as_ref().is_some_and(|done| done.status.success());
        disk.free();
        if in_time.is_none() {
            fetch.await;
        }
        assert_eq!(shop.go_on(wallet, &url).await, body_of(&path), "{pages} pages");
        shop.audit().await;
        if fitted {
            assert!(pages > 0);
            break;
        }
    }
    shop.close_the_books().await;
}

#[tokio::test]
async fn a_read_only_ledger_refuses_before_signing() {
    if !inside("crash::disk::a_read_only_ledger_refuses_before_signing") {
        return;
    }
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    let disk = Disk::under(&wallet.home);
    disk.run("mount", &["-o", "remount,ro"]);
    let done = shop.run(wallet, &["fetch", &shop.at("/weather/oslo")], None).await;
    let said = shown(&done);
    assert!(!done.status.success() && said.contains("ledger"), "{said}");
    disk.run("mount", &["-o", "remount,rw"]);
    assert!(bought(wallet).await.is_empty());
    assert_eq!(shop.upstream().calls("/weather/oslo"), 0);
    assert_eq!(shop.go_on(wallet, &shop.at("/weather/oslo")).await, body_of("/weather/oslo"));
    shop.audit().await;
}

/// The same for a gateway: it does not start, and says why.
#[tokio::test]
async fn a_gateway_with_a_read_only_ledger_does_not_start() {
    if !inside("crash::disk::a_gateway_with_a_read_only_ledger_does_not_start") {
        return;
    }
    let mut shop = Shop::new().await;
    shop.open(None).await;
    shop.gateways[0].kill().await;
    let disk = Disk::under(&shop.gateways[0].home());
    disk.run("mount", &["-o", "remount,ro"]);
    let status = shop.gateways[0].command(0).status().await.unwrap();
    assert!(!status.success());
    let log = shop.gateways[0].log();
    assert!(log.contains("gateway.db") && log.to_lowercase().contains("read"), "{log}");
    disk.run("mount", &["-o", "remount,rw"]);
    shop.open(None).await;
    assert_eq!(shop.go_on(&shop.wallets[0], &shop.at("/weather/oslo")).await, body_of("/weather/oslo"));
}

/// A file that may not grow (`ulimit`, a quota): as a full disk, on a machine where no disk can be mounted.
#[tokio::test]
async fn a_file_that_may_not_grow_refuses_before_signing() {
    let mut shop = Shop::new().await;
    shop.open(None).await;
    let wallet = &shop.wallets[0];
    let url = shop.at("/weather/oslo");
    let plain = shop.command(wallet, &["fetch", &url], None);
    let mut limited = tokio::process::Command::new("sh");
    // Without the signal ignored the kernel would kill it, which other tests do.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]).arg(plain.as_std().get_program());
    limited.args(plain.as_std().get_args());
    for (name, value) in plain.as_std().get_envs() {
        limited.env(name, value.unwrap());
    }
    let done = limited.output().await.unwrap();
    let said = shown(&done);
    assert!(!done.status.success() && !said.contains("signal"), "{said}");
    assert!(bought(wallet).await.iter().all(|purchase| purchase.signed.is_none()), "{said}");
    assert_eq!(shop.upstream().calls("/weather/oslo"), 0);
    assert_eq!(shop.go_on(wallet, &url).await, body_of("/weather/oslo"));
    shop.audit().await;
}

/// A gateway whose ledger is taken away, or exchanged for another, does not go on with the one that nobody will find
/// again: it refuses, until it is started anew.
#[tokio::test]
async fn a_gateway_whose_ledger_is_taken_away_refuses() {
    for replaced in [false, true] {
        let mut shop = Shop::new().await;
        shop.open(None).await;
        let file = shop.gateways[0].ledger();
        let aside = file.with_extension("aside");
        let beside = |file: &Path, end: &str| PathBuf::from(format!("{}{end}", file.display()));
        for end in ["", "-wal", "-shm"] {
            std::fs::rename(beside(&file, end), beside(&aside, end)).unwrap();
            if replaced {
                std::fs::copy(beside(&aside, end), beside(&file, end)).unwrap();
            }
        }
        let wallet = &shop.wallets[0];
        let url = shop.at("/weather/oslo");
        let done = shop.run(wallet, &["fetch", &url, "--json"], None).await;
        let said = shown(&done);
        assert!(!done.status.success() && said.contains("503"), "{replaced}: {said}");
        assert_eq!(shop.upstream().calls("/weather/oslo"), 0, "{replaced}: not served");
        assert!(shop.gateways[0].log().contains("no longer the file"), "{}", shop.gateways[0].log());

        shop.gateways[0].kill().await;
        for end in ["", "-wal", "-shm"] {
            std::fs::rename(beside(&aside, end), beside(&file, end)).unwrap();
        }
        shop.open(None).await;
        assert_eq!(shop.go_on(&shop.wallets[0], &url).await, body_of("/weather/oslo"));
        assert_eq!(shop.audit().await.paid, 1);
        assert!(bought(&shop.wallets[0]).await.iter().all(|one| one.state == PurchaseState::Paid));
    }
}
