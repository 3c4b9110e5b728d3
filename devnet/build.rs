//! Makes the devnet's contracts: installs the pinned npm packages where they are missing, then runs compile.mjs.

use std::{
    env,
    fs::{File, FileTimes},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// What compile.mjs exits with when node_modules doesn't hold the pinned packages.
const PACKAGES_MISSING: i32 = 3;

/// What the result depends on; the installed packages too, so that deleting node_modules installs them again.
const INPUTS: [&str; 6] = [
    "build.rs",
    "compile.mjs",
    "contracts",
    "package.json",
    "package-lock.json",
    "node_modules/solc/package.json",
];

fn main() -> Result<(), String> {
    for input in INPUTS {
        println!("cargo:rerun-if-changed={input}");
    }
    let devnet = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    if compile(&devnet, &out)? == PACKAGES_MISSING {
        install(&devnet, &out)?;
    }
    let anvil = std::fs::read_to_string(out.join("anvil.path"))
        .map_err(|error| format!("compile.mjs left no anvil.path: {error}"))?;
    println!("cargo:rustc-env=FARTHING_DEVNET_ANVIL={}", keep(Path::new(&anvil), &out)?.display());
    Ok(())
}

/// Copies anvil beside what is built: a target directory may outlive its checkout and serve another one.
fn keep(anvil: &Path, out: &Path) -> Result<PathBuf, String> {
    let kept = out.join("anvil");
    let size = |path: &Path| std::fs::metadata(path).map(|data| data.len()).ok();
    if size(anvil) != size(&kept) {
        std::fs::copy(anvil, &kept).map_err(|error| format!("copying {}: {error}", anvil.display()))?;
    }
    Ok(kept)
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// Runs compile.mjs; the only failure that it gives back is missing packages.
fn compile(devnet: &Path, out: &Path) -> Result<i32, String> {
    let output = Command::new("node")
        .arg("compile.mjs")
        .arg(out)
        .current_dir(devnet)
        .output()
        .map_err(|error| missing_program("node", &error))?;
    match output.status.code() {
        Some(0) => Ok(0),
        Some(PACKAGES_MISSING) => Ok(PACKAGES_MISSING),
        _ => Err(format!("compiling devnet/contracts failed:\n{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Installs and compiles under a lock: builds with other target directories share this node_modules.
fn install(devnet: &Path, out: &Path) -> Result<(), String> {
    let lock = File::open(devnet.join("package-lock.json"))
        .map_err(|error| format!("package-lock.json: {error}"))?;
    lock.lock().map_err(|error| format!("locking package-lock.json: {error}"))?;
    // Another build may have installed them while this one waited.
    if compile(devnet, out)? == 0 {
        return Ok(());
    }
    npm_ci(devnet)?;
    match compile(devnet, out)? {
        0 => backdate(&devnet.join("node_modules/solc/package.json")),
        _ => Err(format!(
            "`npm ci` in {} left a pinned package out: is this machine's platform one that @foundry-rs/anvil is made for?",
            devnet.display()
        )),
    }
}

fn npm_ci(devnet: &Path) -> Result<(), String> {
    let output = Command::new("npm")
        .args(["ci", "--no-progress"])
        .current_dir(devnet)
        .output()
        .map_err(|error| missing_program("npm", &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`npm ci` in {} failed; it needs the npm registry once:\n{}",
        devnet.display(),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Cargo runs a build script again when a file that it watches is newer than the script's last start, which what was
/// just installed would be.
fn backdate(path: &Path) -> Result<(), String> {
    File::options()
        .append(true)
        .open(path)
        .and_then(|file| file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn missing_program(program: &str, error: &std::io::Error) -> String {
    format!(
        "can't run `{program}`, which compiles the devnet's contracts: {error}. Install Node.js 20 or newer, with npm."
    )
}
