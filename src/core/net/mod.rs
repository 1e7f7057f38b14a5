//! IPv4 prefixes and their allocation, and the URLs of services.

pub mod allocate;
pub mod prefix;
pub mod service_url;
