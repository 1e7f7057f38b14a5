//! Renews a held Lease in the background.

use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::validity::Hold;
use super::{LeaseClient, LeaseLoss};
use crate::provider::cluster::{ClusterError, LeaseRecord};

/// A task that renews a Lease. It ends when it is stopped or dropped, or when
/// the Lease is lost.
#[derive(Debug)]
pub(super) struct Renewal {
    stop: oneshot::Sender<()>,
    hold: watch::Receiver<Hold>,
    task: JoinHandle<Option<LeaseRecord>>,
}

impl Renewal {
    /// Starts to renew `record`, for which the request began at `claimed`; calls `lost`
    /// with the reason if that is no longer possible.
    pub(super) fn start(
        lease: LeaseClient,
        record: LeaseRecord,
        claimed: Instant,
        lost: impl FnOnce(LeaseLoss) + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (sender, hold) = watch::channel(Hold::Until(claimed + lease.identity.terms.duration));
        let renewing = Renewing { lease, record, renewed: claimed, hold: sender };
        let task = tokio::spawn(renewing.run(stopped, lost));
        Self { stop, hold, task }
    }

    /// Until when the Lease is held.
    pub(super) fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.clone()
    }

    /// Stops, and returns the Lease as it was last written, unless it is lost.
    pub(super) async fn stop(self) -> Option<LeaseRecord> {
        drop(self.stop);
        self.task.await.unwrap_or_default()
    }
}

/// A Lease that is being renewed.
struct Renewing {
    lease: LeaseClient,
    /// As it was written last.
    record: LeaseRecord,
    /// When the request of the last renewal began: others may count from there.
    renewed: Instant,
    hold: watch::Sender<Hold>,
}

/// The result of a renewal.
enum Renewed {
    /// The Lease is renewed.
    As(LeaseRecord),
    /// Another process holds it, or has held it.
    By(String),
}

impl Renewing {
    async fn run(
        mut self,
        mut stopped: oneshot::Receiver<()>,
        lost: impl FnOnce(LeaseLoss),
    ) -> Option<LeaseRecord> {
        let terms = self.lease.identity.terms;
        let mut wait = terms.renew_every;
        loop {
            tokio::select! {
                biased;
                // The sender is dropped: the Lease is released, or its holder has ended.
                _ = &mut stopped => {
                    self.hold.send_replace(Hold::Released);
                    return Some(self.record);
                }
                () = sleep(wait) => {}
            }
            let started = Instant::now();
            let answer_timeout = self.answer_timeout();
            let reason = match timeout(answer_timeout, self.renew_once()).await {
                Ok(Ok(Renewed::As(record))) => {
                    wait = terms.renew_every;
                    (self.record, self.renewed) = (record, started);
                    self.hold.send_replace(Hold::Until(started + terms.duration));
                    continue;
                }
                Ok(Ok(Renewed::By(holder))) => {
                    self.hold.send_replace(Hold::Lost);
                    lost(LeaseLoss::TakenOver { by: holder });
                    return None;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", answer_timeout.as_secs()),
            };
            let passed = self.renewed.elapsed();
            if passed >= terms.duration {
                self.hold.send_replace(Hold::Lost);
                lost(LeaseLoss::NotRenewed { seconds: passed.as_secs(), reason });
                return None;
            }
            tracing::debug!(reason, "the lease could not be renewed yet");
            wait = terms.poll_every;
        }
    }

    /// How long an answer is awaited: no longer than the Lease is valid, unless it is past
    /// that already.
    fn answer_timeout(&self) -> Duration {
        let terms = self.lease.identity.terms;
        match terms.duration.saturating_sub(self.renewed.elapsed()) {
            Duration::ZERO => terms.renew_every,
            left => left.min(terms.renew_every),
        }
    }

    async fn renew_once(&self) -> Result<Renewed, ClusterError> {
        // After the end of its time another process may have held it in between.
        let is_in_time = self.renewed.elapsed() < self.lease.identity.terms.duration;
        if let Some(next) = self.lease.claim(Some(&self.record)).await? {
            return Ok(Renewed::As(next));
        }
        // It changed: by a renewal whose answer was lost, by hand, or by another process.
        let found = self.lease.read().await?;
        let holder = found.as_ref().map(|it| it.holder.as_str()).unwrap_or_default();
        let is_ours = holder == self.lease.identity.holder;
        let is_free = holder.is_empty() && is_in_time;
        if !is_ours && !is_free {
            let other = if holder.is_empty() { "another process" } else { holder };
            return Ok(Renewed::By(other.to_owned()));
        }
        Ok(match self.lease.claim(found.as_ref()).await? {
            Some(next) => {
                found.iter().for_each(|record| self.lease.note_request(record));
                Renewed::As(next)
            }
            None => Renewed::By("another process".to_owned()),
        })
    }
}
