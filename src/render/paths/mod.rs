//! A packet's way, and the matrix of sites, for people and for machines.

pub mod check;
pub mod effect;
pub mod trace;
mod words;
