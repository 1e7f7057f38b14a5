//! What the topology asks for.

pub mod digest;
pub mod labels;
pub mod manifests;
