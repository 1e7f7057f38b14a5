//! Signals that interrupt a command: SIGINT, SIGTERM and SIGHUP.

use super::error::CliError;
use super::exit;
use crate::apply::StopSignal;
use crate::watch::{Trigger, Triggers};

/// Starts to listen. On the first signal, read-only work ends at once and an apply
/// waits for running steps. The second signal ends the process.
pub(crate) fn watch() -> Result<StopSignal, CliError> {
    let mut signals = Signals::listen()
        .map_err(|error| CliError::new(format!("could not install signal handlers: {error}")))?;
    let stop = StopSignal::default();
    let signal = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        signal.stop();
        signals.next().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    Ok(stop)
}

/// As [`watch`], except that SIGHUP requests a reconcile.
pub(crate) fn watch_with_requests(triggers: Triggers) -> Result<StopSignal, CliError> {
    let mut signals = Signals::listen()
        .map_err(|error| CliError::new(format!("could not install signal handlers: {error}")))?;
    let stop = StopSignal::default();
    let signal = stop.clone();
    tokio::spawn(async move {
        while signals.next_or_hangup().await == Received::Hangup {
            triggers.add(Trigger::Request);
        }
        signal.stop();
        while signals.next_or_hangup().await == Received::Hangup {}
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    Ok(stop)
}

/// A signal that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    /// To stop.
    Stop,
    /// SIGHUP.
    Hangup,
}

#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    async fn next(&mut self) {
        self.next_or_hangup().await;
    }

    async fn next_or_hangup(&mut self) -> Received {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => Received::Stop,
            _ = terminate.recv() => Received::Stop,
            _ = hangup.recv() => Received::Hangup,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    async fn next_or_hangup(&mut self) -> Received {
        self.next().await;
        Received::Stop
    }
}
