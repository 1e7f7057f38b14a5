//! Broken, slow, endless, huge and lying services: a fault proxy between the
//! real clients and the emulated services.
//!
//! The default run takes every kind of fault once for each service and command
//! in memory, in virtual time and with the shipped timeouts. The whole matrix
//! over real sockets and the measurements of memory are taken with
//! `STARGATE_EVERY_FAULT=1`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod deployment;
mod fault;
mod hostile_text;
mod matrix;
mod memory;
mod proxy;
mod responses;
mod sockets;
mod throttling;

/// Whether the long share of the tests is asked for.
fn everything() -> bool {
    std::env::var_os("STARGATE_EVERY_FAULT").is_some()
}
