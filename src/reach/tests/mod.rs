mod breaks;
mod laws;
mod tables;
pub(crate) mod world;
