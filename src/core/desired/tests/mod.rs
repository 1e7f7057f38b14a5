//! The laws of the desired resources, on topologies made at random.

mod addresses;
pub(crate) mod generate;
mod kinds;
