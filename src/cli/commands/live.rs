//! What `check --live` asks and compares.

use std::time::Duration;

use jiff::Timestamp;

use crate::connectivity::{Comparison, PathModel, by_nearness};
use crate::inventory::Measurement;
use crate::pipeline::Planned;
use crate::refresh::measure::{Unmeasured, measure};
use crate::render::connectivity::live::Live;

/// A measurement and how it compares, or why there is none.
pub(super) struct Measured(Result<(Measurement, Comparison), Unmeasured>);

impl Measured {
    /// Asks Goldpinger, through the door that the look at the world opened.
    pub(super) async fn take(
        planned: &Planned,
        model: &PathModel,
        namespace: Option<&str>,
    ) -> Self {
        let Some(access) = planned.observation.cluster_access() else {
            return Self(Err(Unmeasured::NoCluster));
        };
        let measured =
            measure(access.client.as_ref(), namespace, |pods| by_nearness(model, pods)).await;
        Self(measured.map(|measurement| {
            let comparison = measurement.compare(model);
            (measurement, comparison)
        }))
    }

    /// How it is shown.
    pub(super) fn shown<'a>(&'a self, model: &'a PathModel) -> Live<'a> {
        let outcome = self.0.as_ref().map(|(measurement, comparison)| (measurement, comparison));
        let oldest = outcome.ok().and_then(|(measurement, _)| measurement.oldest);
        let age = oldest.map(|oldest| {
            // The cluster's clock may be ahead of ours.
            Duration::try_from(Timestamp::now().duration_since(oldest)).unwrap_or_default()
        });
        Live { model, outcome, age }
    }
}
