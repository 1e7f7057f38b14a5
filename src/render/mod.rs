//! How a plan, a report or an event is shown.

pub mod diagnostic;
