//! Sign-in with the real clients against `sandbox serve` as a process of its own.

mod doctor;
mod issuer;
mod matrix;
mod methods;
mod proxy;
mod service;
mod tailnet;
