//! What a person sees while a call takes its time, and what Ctrl-C does to it.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use farthing_ledger::PurchaseId;
use farthing_wallet::{Observer, Request, Step};
use tokio::sync::oneshot;

use crate::output::{Output, clear_status, printable, status};

/// How long nothing is said: most calls are over by then.
const QUIET_FOR: Duration = Duration::from_millis(700);

/// Does the work, and says on a terminal what is being waited for when it takes long.
pub(crate) async fn shown<F: Future>(output: Output, doing: impl Fn() -> String, work: F) -> F::Output {
    if output.quiet || output.json || !std::io::stderr().is_terminal() {
        return work.await;
    }
    let mut work = std::pin::pin!(work);
    let began = Instant::now();
    loop {
        match tokio::time::timeout(QUIET_FOR, &mut work).await {
            Ok(done) => {
                clear_status();
                return done;
            }
            Err(_) => status(format_args!("{} … {} s", doing(), began.elapsed().as_secs())),
        }
    }
}

/// Follows one call.
#[derive(Debug)]
pub(crate) struct Watch {
    host: String,
    doing: Mutex<String>,
    keeping: Mutex<Option<PathBuf>>,
    paying: Mutex<Option<oneshot::Sender<Paying>>>,
    paid: Mutex<Option<oneshot::Receiver<Paying>>>,
}

/// A purchase whose payment has left the machine, and how the user says that he has had enough of it.
#[derive(Debug)]
struct Paying {
    purchase: PurchaseId,
    stop: Stop,
}

impl Watch {
    pub(crate) fn new(call: &Request) -> Self {
        let (paying, paid) = oneshot::channel();
        Self {
            host: printable(&call.host()),
            doing: Mutex::default(),
            keeping: Mutex::default(),
            paying: Mutex::new(Some(paying)),
            paid: Mutex::new(Some(paid)),
        }
    }

    /// What is being waited for.
    pub(crate) fn doing(&self) -> String {
        lock(&self.doing).clone()
    }

    /// The file that the paid body goes into, once the seller has answered.
    pub(crate) fn keeping(&self) -> Option<PathBuf> {
        lock(&self.keeping).clone()
    }

    /// Completes when the user breaks a call off whose payment has left the machine, and names the purchase. Until then
    /// Ctrl-C ends the process as it always does: nothing is lost by it.
    pub(crate) async fn broken_off(&self) -> PurchaseId {
        let paid = lock(&self.paid).take();
        let Some(paid) = paid else { return std::future::pending().await };
        let Ok(Paying { purchase, mut stop }) = paid.await else { return std::future::pending().await };
        stop.asked().await;
        purchase
    }
}

impl Observer for Watch {
    fn step(&self, step: Step<'_>) {
        let host = &self.host;
        let doing = match step {
            Step::Asking => format!("asking {host}"),
            Step::Deciding => "asking the chain what the wallet holds".to_owned(),
            Step::Paying(purchase) => {
                // Before the payment leaves.
                if let Some(paying) = lock(&self.paying).take() {
                    paying.send(Paying { purchase: purchase.terms.id.clone(), stop: Stop::listen() }).ok();
                }
                format!("payment of {} sent, waiting for {host}", purchase.terms.value)
            }
            Step::Again => format!("the connection broke; sending the same payment to {host} again"),
            Step::SellerAtWork => format!("{host} is still at work on it"),
            Step::Keeping(file) => {
                *lock(&self.keeping) = Some(file.to_owned());
                return;
            }
            Step::Receiving(bytes) => format!("receiving from {host}: {} KiB", bytes / 1024),
            _ => return,
        };
        *lock(&self.doing) = doing;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ctrl-C and SIGTERM, caught from the moment that this is made.
#[derive(Debug)]
pub(crate) struct Stop {
    #[cfg(unix)]
    signals: Vec<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Stop {
    /// From here on no signal ends the process unheard.
    pub(crate) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        // One that cannot be caught ends the process, as without us.
        let signals = [SignalKind::interrupt(), SignalKind::terminate()];
        Self { signals: signals.into_iter().filter_map(|kind| signal(kind).ok()).collect() }
    }

    /// Completes when the user has had enough.
    pub(crate) async fn asked(&mut self) {
        let each: Vec<_> = self.signals.iter_mut().map(|signal| Box::pin(signal.recv())).collect();
        if each.is_empty() {
            return std::future::pending().await;
        }
        futures::future::select_all(each).await;
    }
}

#[cfg(not(unix))]
impl Stop {
    /// From the first [`Stop::asked`] on no signal ends the process unheard.
    pub(crate) fn listen() -> Self {
        Self {}
    }

    /// Completes when the user has had enough.
    pub(crate) async fn asked(&mut self) {
        tokio::signal::ctrl_c().await.ok();
    }
}
