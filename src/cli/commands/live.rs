//! The measurements of `check --live`.

use std::time::Duration;

use jiff::Timestamp;

use crate::connectivity::{MeasurementComparison, PathModel, by_nearness};
use crate::inventory::Measurement;
use crate::pipeline::Planned;
use crate::refresh::measure::{Unmeasured, measure};
use crate::render::connectivity::live::LiveReport;

/// A measurement and its comparison with the model, or why it failed.
pub(super) struct Measured(Result<(Measurement, MeasurementComparison), Unmeasured>);

impl Measured {
    /// Reads the measurements of Goldpinger with the cluster client of the refresh.
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

    /// The report of the comparison.
    pub(super) fn report<'a>(&'a self, model: &'a PathModel) -> LiveReport<'a> {
        let outcome = self.0.as_ref().map(|(measurement, comparison)| (measurement, comparison));
        let oldest = outcome.ok().and_then(|(measurement, _)| measurement.oldest);
        let age = oldest.map(|oldest| {
            // The cluster's clock may be ahead of ours.
            Duration::try_from(Timestamp::now().duration_since(oldest)).unwrap_or_default()
        });
        LiveReport { model, outcome, age }
    }
}
