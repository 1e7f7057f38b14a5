mod breaks;
mod classes;
mod laws;
mod tables;
pub(crate) mod world;
