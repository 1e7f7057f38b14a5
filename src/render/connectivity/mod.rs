//! A packet's way, and the matrix of sites, for people and for machines.

pub mod check;
pub mod live;
pub mod reachability;
pub mod reachability_report;
pub mod service;
pub mod trace;
mod wording;
