//! The request to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Asks a running apply to stop: running steps finish, and no other starts.
#[derive(Debug, Clone)]
pub struct StopSignal {
    own: Arc<watch::Sender<bool>>,
    parent: Option<Box<StopSignal>>,
}

impl Default for StopSignal {
    fn default() -> Self {
        Self { own: Arc::new(watch::Sender::new(false)), parent: None }
    }
}

impl StopSignal {
    /// A signal that this one sets too, and that stops less: it does not set this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { parent: Some(Box::new(self.clone())), ..Self::default() }
    }

    /// Asks to stop.
    pub fn stop(&self) {
        self.own.send_replace(true);
    }

    /// Whether it was asked to stop.
    pub fn is_set(&self) -> bool {
        *self.own.borrow() || self.parent.as_ref().is_some_and(|parent| parent.is_set())
    }

    /// Waits until it is asked to stop.
    pub async fn requested(&self) {
        let Some(parent) = &self.parent else { return self.own_requested().await };
        tokio::select! {
            () = self.own_requested() => {}
            () = Box::pin(parent.requested()) => {}
        }
    }

    async fn own_requested(&self) {
        // The sender lives as long as this signal: waiting cannot fail.
        let _ = self.own.subscribe().wait_for(|is_set| *is_set).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_is_set_by_its_parent_and_not_the_other_way_round() {
        let parent = StopSignal::default();
        let child = parent.child();
        child.stop();
        child.requested().await;
        assert!(child.is_set() && !parent.is_set());
        let child = parent.child();
        assert!(!child.is_set());
        parent.stop();
        child.requested().await;
        assert!(child.is_set());
    }
}
