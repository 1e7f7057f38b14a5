//! The request to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a running apply to stop: running steps finish, and no other starts.
#[derive(Debug, Clone)]
pub struct StopSignal(Arc<watch::Sender<bool>>);

impl Default for StopSignal {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl StopSignal {
    /// Asks to stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked to stop.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is asked to stop.
    pub async fn requested(&self) {
        // The sender lives as long as this signal: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|is_set| *is_set).await;
    }
}
