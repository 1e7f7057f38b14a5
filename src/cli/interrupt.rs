//! Signals that interrupt a command: SIGINT, SIGTERM and SIGHUP.

use super::error::CliError;
use super::exit;
use crate::apply::StopSignal;

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
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
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
}
