//! A packet's way, and the matrix of sites, for people and for machines.

pub mod check;
pub mod effect;
pub mod live;
pub mod service;
pub mod trace;
pub mod ways;
mod words;
