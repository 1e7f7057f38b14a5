//! IPv4 prefixes and their allocation.

pub mod allocate;
pub mod prefix;
