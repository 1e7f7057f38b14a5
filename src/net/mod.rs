//! Prefixes and their allocation.

pub mod allocate;
pub mod prefix;
