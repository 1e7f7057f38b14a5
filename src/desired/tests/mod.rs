//! The laws of the desired resources, on topologies made at random.

pub(crate) mod generate;
mod kinds;
mod places;
