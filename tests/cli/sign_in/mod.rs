//! Sign-in with the real clients against `sandbox serve` as a process of its own.

mod doctor;
pub(crate) mod issuer;
mod matrix;
mod methods;
mod proxy;
pub(crate) mod service;
mod tailnet;
