//! `farthing guard`.

mod listen;
mod scan;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farthing_agent::guard::stdio::{self, StdioConfig};
use farthing_agent::guard::{Limits, Notify, Policed, PolicedConfig, PolicyFile, Words, payment_host};
use farthing_ambient::{OsEntropy, SystemClock, causes};
use farthing_ledger::Ledger;
use farthing_policy::Policy;
use farthing_policy::tools::validation_errors;
use sha2::{Digest as _, Sha256};
use tokio::runtime::{Handle, Runtime};
use url::Url;

use crate::agents;
use crate::cli::{Compat, GuardArgs, GuardCommand, ServerArgs, Transport};
use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::home::{self, Home};
use crate::output::{self, GOOD, Output};
use crate::session::ledger_in;

/// How long the last records may take when everything else has ended.
const LEAVING: Duration = Duration::from_secs(5);

/// Runs the guard until its client or its server leaves. Gives the exit code.
pub(crate) fn run(home: &Home, args: &GuardArgs, output: Output) -> Result<u8, Failure> {
    match (run_command(home, args, output), args.compat) {
        // Intercept knows no other code.
        (Err(failure), Some(Compat::Intercept)) => {
            failure.report(output.json);
            Ok(1)
        }
        (done, _) => done,
    }
}

fn run_command(home: &Home, args: &GuardArgs, output: Output) -> Result<u8, Failure> {
    match &args.command {
        Some(GuardCommand::Validate) => validate(home, args, output),
        Some(GuardCommand::Scan(args)) => scan::run(args, output).map(|()| 0),
        None => guard(home, args),
    }
}

/// Exit 0 or 1, as Intercept's `validate`.
fn validate(home: &Home, args: &GuardArgs, output: Output) -> Result<u8, Failure> {
    let path = policy_path(home, args);
    let text = home::read(&path)?;
    let errors: Vec<String> = match args.compat {
        Some(Compat::Intercept) => {
            validation_errors(&text).into_iter().map(|e| format!("Error: {e}")).collect()
        }
        None => Policy::parse(&text).err().map(|error| error.in_file(path.display())).into_iter().collect(),
    };
    if output.json {
        output.json(&serde_json::json!({"valid": errors.is_empty(), "errors": errors}));
        return Ok(u8::from(!errors.is_empty()));
    }
    for error in &errors {
        output.line(error);
    }
    match (args.compat, errors.len()) {
        (Some(Compat::Intercept), 0) => output.line("Policy file is valid."),
        (None, 0) => output.line(format!("{GOOD}valid{GOOD:#}")),
        (Some(Compat::Intercept), count) => {
            output::say(format_args!("Error: policy validation failed with {count} error(s)"));
        }
        (None, _) => {}
    }
    Ok(u8::from(!errors.is_empty()))
}

fn policy_path(home: &Home, args: &GuardArgs) -> PathBuf {
    args.config.clone().unwrap_or_else(|| home.policy())
}

fn guard(home: &Home, args: &GuardArgs) -> Result<u8, Failure> {
    let policy = Arc::new(PolicyFile::open(&policy_path(home, args)).map_err(agents::no_policy)?);
    let ledger = ledger(home, args)?;
    let runtime = runtime()?;
    let server = args.name.clone().unwrap_or_else(|| server_name(&args.server));
    runtime.spawn(agents::follow(policy.clone(), ledger.clone(), server.clone(), |_| {}));
    let config = Config::load(&home.config())?;
    let gate = gate(&config, args, (server, policy), ledger.clone(), runtime.handle())?;
    let ends = gate.clone();
    let code = match (args.server.upstream.as_deref(), args.server.child.as_slice()) {
        (Some(url), _) => listen::run(url, args, limits(args), gate, &runtime),
        (None, []) => Err(Failure::new(Code::Configuration, "no server is named")
            .hint("write its command after `--`, or its address after --upstream")),
        (None, _) if !matches!(args.transport, None | Some(Transport::Stdio)) => {
            Err(Failure::new(Code::Configuration, "--transport http and sse need --upstream"))
        }
        (None, command) => child(command, args, gate, runtime.handle()),
    };
    // What has just ended is written before the ledger closes.
    runtime.block_on(async {
        ends.recorded(LEAVING).await;
        ledger.close().await
    })?;
    runtime.shutdown_background();
    code
}

fn child(command: &[OsString], args: &GuardArgs, gate: Policed, runtime: &Handle) -> Result<u8, Failure> {
    let mut config = StdioConfig::new(command);
    config.limits = limits(args);
    config.runtime = Some(runtime.clone());
    stdio::run(config, Arc::new(gate)).map_err(|error| Failure::new(Code::Configuration, causes(&error)))
}

fn limits(args: &GuardArgs) -> Limits {
    Limits { call_timeout: Duration::from_secs(args.call_timeout), ..Limits::default() }
}

/// One thread for what has to be waited for.
fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Unexpected, error))
}

fn ledger(home: &Home, args: &GuardArgs) -> Result<Ledger, Failure> {
    ledger_in(args.state_dir.as_deref().unwrap_or(home.folder()), "ledger.db")
}

fn gate(
    config: &Config,
    args: &GuardArgs,
    (server, policy): (String, Arc<PolicyFile>),
    ledger: Ledger,
    runtime: &Handle,
) -> Result<Policed, Failure> {
    let salt = agents::salt(&ledger)?;
    let tell = agents::notify(config, &ledger, runtime)?;
    let notify = tell.map(|tell| Arc::new(move |id: &str, _: &_| tell(id)) as Notify);
    Ok(Policed::new(PolicedConfig {
        policy,
        ledger,
        host: payment_host(args.server.upstream.as_deref(), &server),
        registry: config.registry()?,
        server,
        agent: args.agent.clone(),
        session: match &args.session {
            Some(session) => session.clone(),
            None => agents::new_session()?,
        },
        words: match args.compat {
            Some(Compat::Intercept) => Words::Intercept,
            None => Words::Ours,
        },
        salt,
        notify,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(OsEntropy),
        runtime: runtime.clone(),
    }))
}

/// A name that tells servers apart: a package's own; else that of the script or program, with a digest of the whole
/// command, as many are called `index.js` or `docker`; or the address without what may be a key in it.
fn server_name(args: &ServerArgs) -> String {
    if let Some(address) = &args.upstream {
        let Ok(url) = Url::parse(address) else { return "server".to_owned() };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        return format!("{}{port}{}", url.host_str().unwrap_or("server"), url.path().trim_end_matches('/'));
    }
    let words: Vec<String> = args.child.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let said = words
        .iter()
        .skip(1)
        .find(|word| !word.starts_with('-') && !["run", "dlx", "exec"].contains(&word.as_str()));
    if let Some(package) = said.filter(|word| word.starts_with('@')) {
        return package.clone();
    }
    let base = said.or(words.first()).map_or("server", String::as_str);
    let base = Path::new(base).file_name().map_or(base.into(), |name| name.to_string_lossy());
    let digest = Sha256::digest(words.join("\0"));
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{base}-{digest}")
}
