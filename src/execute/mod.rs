//! Runs the steps of a plan.

pub mod events;
