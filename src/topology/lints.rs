//! x
use super::{diagnostic::Diagnostic, model::Topology, spans::TopologySpans};
pub(super) fn check(_: &Topology, _: &TopologySpans, _: &mut Vec<Diagnostic>) {}
