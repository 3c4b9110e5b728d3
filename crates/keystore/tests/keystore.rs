//! The key file against mistakes, curious neighbours and broken disks.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_ambient::{Entropy, NoEntropy, OsEntropy, SeededEntropy};
use farthing_keystore::{
    Cost, EvmKey, KeyInfo, Keystore, KeystoreError, NewKey, Passphrase, Phrase, Unlock, UnlockError, Words,
    private_folder,
};
use proptest::prelude::*;
use tempfile::TempDir;

const WORDS: &str = "test test test test test test test test test test test junk";
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned())
}

fn phrase() -> NewKey {
    NewKey::Phrase(Phrase::parse(WORDS).unwrap())
}

fn create(dir: &Path, key: NewKey) -> Result<KeyInfo, KeystoreError> {
    Keystore::create_at_cost(dir, key, &passphrase("right"), &OsEntropy, CHEAP)
}

/// A folder with keys in it.
fn wallet() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("farthing");
    create(&dir, phrase()).unwrap();
    (home, dir)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_phrase_comes_back() {
    let (_home, dir) = wallet();
    let keystore = Keystore::open(&dir).unwrap();
    assert_eq!(keystore.info().evm.to_checksum(None), ADDRESS);
    let keys = keystore.unlock(&passphrase("right")).unwrap();
    assert_eq!(keys.phrase().unwrap().words().as_str(), WORDS);
    assert_eq!(hex::encode(keys.evm().secret_key().secret_bytes()), KEY);
}

#[test]
fn every_length_of_phrase_comes_back() {
    for (seed, words) in [(1, Words::Twelve), (2, Words::TwentyFour)] {
        let home = tempfile::tempdir().unwrap();
        let new = Phrase::generate(words, &SeededEntropy::new(seed)).unwrap();
        create(home.path(), NewKey::Phrase(new.clone())).unwrap();
        let keys = Keystore::open(home.path()).unwrap().unlock(&passphrase("right")).unwrap();
        assert_eq!(keys.phrase().unwrap().words(), new.words());
    }
}

#[test]
fn a_raw_key_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let info = create(home.path(), NewKey::Raw(EvmKey::from_hex(KEY).unwrap())).unwrap();
    assert_eq!(info.evm.to_checksum(None), ADDRESS);
    let keys = Keystore::open(home.path()).unwrap().unlock(&passphrase("right")).unwrap();
    assert!(keys.phrase().is_none());
    assert_eq!(hex::encode(keys.evm().secret_key().secret_bytes()), KEY);
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let (_home, dir) = wallet();
    let keystore = Keystore::open(&dir).unwrap();
    for wrong in ["", "wrong", "Right", "right ", "right\n"] {
        let error = keystore.unlock(&passphrase(wrong)).unwrap_err();
        assert!(matches!(error, KeystoreError::WrongPassphrase(_)), "{error}");
    }
    let empty = Keystore::create(&dir.join("other"), phrase(), &passphrase(""), &OsEntropy);
    assert!(matches!(empty, Err(KeystoreError::EmptyPassphrase)));
}

#[test]
fn a_file_with_one_bit_changed_opens_nothing() {
    let (_home, dir) = wallet();
    let path = dir.join(Keystore::FILE_NAME);
    let whole = fs::read(&path).unwrap();
    for index in 0..whole.len() {
        for bit in 0..8 {
            let mut broken = whole.clone();
            broken[index] ^= 1 << bit;
            fs::write(&path, &broken).unwrap();
            let opened = Keystore::open(&dir).and_then(|keystore| keystore.unlock(&passphrase("right")));
            assert!(opened.is_err(), "bit {bit} of byte {index}, {:?}", char::from(whole[index]));
        }
    }
    for length in 0..whole.len() - 1 {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(matches!(Keystore::open(&dir), Err(KeystoreError::Damaged { .. })), "cut at {length}");
    }
}

#[test]
fn files_of_others_are_refused_with_the_reason() {
    let (_home, dir) = wallet();
    let path = dir.join(Keystore::FILE_NAME);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replace("\"version\": 1", "\"version\": 2")).unwrap();
    assert!(matches!(Keystore::open(&dir), Err(KeystoreError::Newer { found: 2, known: 1, .. })));
    fs::write(&path, whole.replace("\"memory_kib\": 8", "\"memory_kib\": 4294967295")).unwrap();
    let greedy = Keystore::open(&dir).unwrap().unlock(&passphrase("right")).unwrap_err();
    assert!(matches!(&greedy, KeystoreError::Crypto(why) if why.contains("above")), "{greedy}");
    fs::write(&path, format!("{whole}{}", " ".repeat(20_000))).unwrap();
    assert!(matches!(Keystore::open(&dir), Err(KeystoreError::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    assert!(matches!(Keystore::open(&dir), Err(KeystoreError::NoKeys(_))));
    assert!(matches!(Keystore::open(&dir.join("nowhere")), Err(KeystoreError::NoKeys(_))));
    fs::create_dir(&path).unwrap();
    assert!(matches!(Keystore::open(&dir), Err(KeystoreError::Damaged { .. })));
}

#[test]
fn others_have_no_access() {
    let (_home, dir) = wallet();
    let path = dir.join(Keystore::FILE_NAME);
    assert_eq!((mode(&dir), mode(&path)), (0o700, 0o600));
    for (target, wide, wanted) in
        [(&path, 0o640, "chmod 600"), (&path, 0o602, "chmod 600"), (&dir, 0o710, "chmod 700")]
    {
        let before = mode(target);
        chmod(target, wide);
        let error = Keystore::open(&dir).unwrap_err();
        assert!(matches!(error, KeystoreError::Permissions { .. }));
        let message = error.to_string();
        assert!(message.contains(wanted) && message.contains(target.to_str().unwrap()), "{message}");
        chmod(target, before);
    }
    assert!(Keystore::open(&dir).is_ok());
}

#[test]
fn folders_become_private_unless_they_are_in_use() {
    let home = tempfile::tempdir().unwrap();
    let deep = home.path().join("a/b");
    private_folder(&deep).unwrap();
    assert_eq!((mode(&deep), mode(deep.parent().unwrap())), (0o700, 0o700));
    chmod(&deep, 0o755);
    private_folder(&deep).unwrap();
    assert_eq!(mode(&deep), 0o700);
    fs::write(deep.join("file"), "").unwrap();
    chmod(&deep, 0o755);
    assert!(matches!(private_folder(&deep), Err(KeystoreError::Permissions { wanted: 0o700, .. })));
    assert!(matches!(create(&deep, phrase()), Err(KeystoreError::Permissions { .. })));
    assert_eq!(files(&deep), ["file"]);
}

#[test]
fn keys_are_never_overwritten() {
    let (_home, dir) = wallet();
    let before = fs::read(dir.join(Keystore::FILE_NAME)).unwrap();
    assert!(matches!(create(&dir, phrase()), Err(KeystoreError::Exists(_))));
    assert_eq!(fs::read(dir.join(Keystore::FILE_NAME)).unwrap(), before);
    assert_eq!(files(&dir), [Keystore::FILE_NAME]);
}

#[test]
fn of_many_at_once_one_creates() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("farthing");
    let created: Vec<KeyInfo> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..16)
            .map(|seed| {
                let dir = &dir;
                scope.spawn(move || {
                    let entropy = SeededEntropy::new(seed);
                    let new = Phrase::generate(Words::Twelve, &entropy).unwrap();
                    Keystore::create_at_cost(dir, NewKey::Phrase(new), &passphrase("right"), &entropy, CHEAP)
                })
            })
            .collect();
        all.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
    });
    assert_eq!(created.len(), 1);
    assert_eq!(Keystore::open(&dir).unwrap().info(), &created[0]);
    assert_eq!(files(&dir), [Keystore::FILE_NAME]);
}

/// Gives randomness a number of times, then no more.
#[derive(Debug)]
struct Failing(AtomicUsize);

impl Entropy for Failing {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| NoEntropy)?;
        OsEntropy.fill(buffer)
    }
}

#[test]
fn a_failure_on_the_way_changes_nothing() {
    let (_home, dir) = wallet();
    let path = dir.join(Keystore::FILE_NAME);
    let before = fs::read(&path).unwrap();
    for steps in 0..3 {
        let entropy = Failing(AtomicUsize::new(steps));
        let new = dir.join(format!("new{steps}"));
        let created = Keystore::create_at_cost(&new, phrase(), &passphrase("x"), &entropy, CHEAP);
        assert!(matches!(created, Err(KeystoreError::NoEntropy(_))));
        assert!(files(&new).is_empty());
        let entropy = Failing(AtomicUsize::new(steps));
        let keystore = Keystore::open(&dir).unwrap();
        assert!(keystore.rewrap(&passphrase("right"), &passphrase("x"), &entropy).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }
    // What a power cut leaves behind stands in nobody's way.
    fs::write(dir.join("keys.00.tmp"), "half a f").unwrap();
    assert!(Keystore::open(&dir).unwrap().unlock(&passphrase("right")).is_ok());
}

#[test]
fn the_passphrase_can_change_and_the_cost_rises() {
    let (_home, dir) = wallet();
    let path = dir.join(Keystore::FILE_NAME);
    let before = fs::read_to_string(&path).unwrap();
    let keystore = Keystore::open(&dir).unwrap();
    let wrong = keystore.rewrap(&passphrase("wrong"), &passphrase("new"), &OsEntropy);
    assert!(matches!(wrong, Err(KeystoreError::WrongPassphrase(_))));
    let empty = keystore.rewrap(&passphrase("right"), &passphrase(""), &OsEntropy);
    assert!(matches!(empty, Err(KeystoreError::EmptyPassphrase)));
    assert_eq!(fs::read_to_string(&path).unwrap(), before);

    let changed = keystore.rewrap(&passphrase("right"), &passphrase("new"), &OsEntropy).unwrap();
    let reopened = Keystore::open(&dir).unwrap();
    assert_eq!(changed.info(), reopened.info());
    assert!(reopened.unlock(&passphrase("right")).is_err());
    assert_eq!(reopened.unlock(&passphrase("new")).unwrap().phrase().unwrap().words().as_str(), WORDS);
    assert!(fs::read_to_string(&path).unwrap().contains("\"memory_kib\": 65536"));
    assert_eq!((mode(&path), files(&dir)), (0o600, vec![Keystore::FILE_NAME.to_owned()]));
}

/// Killed while it changes the passphrase: the old one opens the file or the new one does, and the key is the same. The
/// test starts itself again as the process that dies.
#[test]
fn a_change_of_the_passphrase_that_is_killed_leaves_one_or_the_other() {
    const DIR: &str = "FARTHING_TEST_KEYSTORE";
    if let Some(dir) = std::env::var_os(DIR) {
        let keystore = Keystore::open(Path::new(&dir)).unwrap();
        keystore.rewrap(&passphrase("right"), &passphrase("new"), &OsEntropy).unwrap();
        return;
    }
    let test = "a_change_of_the_passphrase_that_is_killed_leaves_one_or_the_other";
    for (fault, opens) in [("keystore.drafted", "right"), ("keystore.renamed", "new")] {
        let (_home, dir) = wallet();
        let mut dying = std::process::Command::new(std::env::current_exe().unwrap());
        dying.args([test, "--exact"]).env(DIR, &dir).env("FARTHING_FAULT", fault);
        assert!(!dying.output().unwrap().status.success(), "{fault} did not kill it");
        let keys = Keystore::open(&dir).unwrap().unlock(&passphrase(opens)).unwrap();
        assert_eq!(keys.phrase().unwrap().words().as_str(), WORDS, "{fault}");
    }
}

#[test]
fn nothing_secret_is_shown_or_written() {
    let (_home, dir) = wallet();
    let keystore = Keystore::open(&dir).unwrap();
    let right = passphrase("right");
    let keys = keystore.unlock(&right).unwrap();
    let text = fs::read_to_string(dir.join(Keystore::FILE_NAME)).unwrap();
    let wrong = keystore.unlock(&passphrase("hunter2")).unwrap_err();
    let shown = format!("{keys:#?} {right:?} {keystore:?} {:?} {wrong:?} {wrong} {text}", phrase());
    for secret in ["junk", "right", "hunter2", KEY, &KEY[..16]] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn the_environment_comes_before_the_configuration() {
    let (_home, dir) = wallet();
    let keystore = Keystore::open(&dir).unwrap();
    let address = keystore.info().evm;
    let command = Unlock::Command(vec!["echo".to_owned(), "wrong".to_owned()]);
    let given = Unlock::passphrase(Some(&command), address, Some("right".into())).unwrap();
    assert!(keystore.unlock(&given).is_ok());
    let configured = Unlock::passphrase(Some(&command), address, Some("".into())).unwrap();
    assert!(keystore.unlock(&configured).is_err());
    let broken = Unlock::Command(vec!["false".to_owned()]);
    let error = Unlock::passphrase(Some(&broken), address, None).unwrap_err();
    assert!(matches!(error, UnlockError::Command { .. }), "no other source is tried: {error}");
}

#[test]
fn the_configuration_reads_as_documented() {
    for (json, unlock) in [
        ("{\"fd\": 3}", Unlock::Fd(3)),
        ("{\"command\": [\"a\"]}", Unlock::Command(vec!["a".to_owned()])),
        ("\"keyring\"", Unlock::Keyring),
        ("\"prompt\"", Unlock::Prompt),
    ] {
        assert_eq!(serde_json::from_str::<Unlock>(json).unwrap(), unlock);
    }
    assert!(serde_json::from_str::<Unlock>("\"enviroment\"").is_err());
    let message = UnlockError::NoSource.to_string();
    for way in ["FARTHING_PASSPHRASE", "fd", "command", "keyring", "terminal"] {
        assert!(message.contains(way), "{message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn reading_phrases_and_keys_never_panics(text in "\\PC{0,80}") {
        prop_assert!(Phrase::parse(&text).is_err());
        prop_assert!(EvmKey::from_hex(&text).is_err());
    }

    #[test]
    fn reading_files_never_panics(start in 0usize..500, junk in proptest::collection::vec(any::<u8>(), 1..20)) {
        let (_home, dir) = wallet();
        let path = dir.join(Keystore::FILE_NAME);
        let mut text = fs::read(&path).unwrap();
        let start = start.min(text.len());
        text.splice(start..start, junk.iter().copied());
        fs::write(&path, text).unwrap();
        let opened = Keystore::open(&dir).and_then(|keystore| keystore.unlock(&passphrase("right")));
        prop_assert!(opened.is_err() || junk.iter().all(u8::is_ascii_whitespace));
    }
}

#[test]
fn another_key_takes_the_place_and_the_old_one_is_kept() {
    let (_home, dir) = wallet();
    let keystore = Keystore::open(&dir).unwrap();
    let new = || NewKey::Raw(EvmKey::from_hex(&"11".repeat(32)).unwrap());
    let exchanged = keystore.exchange(new(), &passphrase("other"), &OsEntropy).unwrap();
    let now = Keystore::open(&dir).unwrap();
    assert_eq!((now.info(), mode(&exchanged.kept)), (&exchanged.new, 0o600));
    assert!(now.unlock(&passphrase("other")).unwrap().phrase().is_none());
    let kept = Keystore::open_file(&exchanged.kept).unwrap();
    assert_eq!(kept.info().evm.to_checksum(None), ADDRESS);
    assert_eq!(kept.unlock(&passphrase("right")).unwrap().evm_hex().as_str(), format!("0x{KEY}"));
    // Back and forth under another passphrase: the file that is kept is never written over.
    now.exchange(phrase(), &passphrase("third"), &OsEntropy).unwrap();
    let third = Keystore::open(&dir).unwrap().exchange(new(), &passphrase("fourth"), &OsEntropy);
    assert!(matches!(third, Err(KeystoreError::Exists(path)) if path == exchanged.kept));
    assert!(Keystore::open(&dir).unwrap().unlock(&passphrase("third")).is_ok(), "nothing was changed");
}
