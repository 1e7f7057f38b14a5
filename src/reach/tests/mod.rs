mod breaks;
mod classes;
mod crowd;
mod laws;
mod nameless;
mod tables;
pub(crate) mod world;
