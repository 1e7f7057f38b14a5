//! IPv4 prefixes, their allocation and an index of them, and the URLs of services.

pub mod allocate;
pub mod prefix;
pub mod range_index;
pub mod service_url;
