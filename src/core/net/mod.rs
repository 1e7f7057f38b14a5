//! IPv4 prefixes, their allocation, and an index of them.

pub mod allocate;
pub mod prefix;
pub mod range_index;
