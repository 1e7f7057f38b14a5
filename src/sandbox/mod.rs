//! The same doors as the real services, onto a world in memory.

pub mod kubernetes;
