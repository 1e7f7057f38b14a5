//! How long a client waits for a service, and how much it takes from one.
//!
//! The figures hold for every API and are chosen so that a service that is
//! dead, slow or lying costs a command at most a minute (waits that the service
//! asks for aside) and a bounded amount of memory.

use std::time::Duration;

/// How long a connection may take to be made, TLS included. The slowest
/// working links take 2 s; a packet that is dropped is sent again after 1, 3
/// and 7 s.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a read may go without a byte, the first one included. A list of
/// Azure's over a large subscription takes up to 15 s to begin.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long one attempt at a read may take in all.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum duration of a call: every attempt and the delays between them, without those
/// that the service requested. A write may use all of it for one attempt, since Azure's
/// front end answers a write within a minute, by 504 if need be.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(55);
/// The wait before the second attempt; it doubles from one to the next.
pub const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay between two attempts, unless the service requests a longer one.
pub const MAX_DELAY: Duration = Duration::from_secs(30);
/// The largest answer in bytes, decompressed. The largest real ones are a page
/// of 500 Nodes and the devices of a tailnet of 10,000, both below 16 MiB. Nine
/// lists are read side by side.
pub const MAX_BODY_BYTES: usize = 24 << 20;
/// The maximum memory of a decoded response in bytes, as estimated before it is decoded:
/// many small JSON values take a hundred times their text. A page of 500 Nodes
/// with all their managed fields takes 100 MiB.
pub const MAX_DECODED_BYTES: usize = 192 << 20;
/// The most pages of a list: at 500 objects a page, ten times the nodes of the
/// largest cluster. Within the budgets, endless lists end after half a minute.
pub const MAX_PAGES: usize = 100;
/// The most objects of a list. A cluster has at most 5,000 nodes, and ten of
/// its size fit into a subscription's quota.
pub const MAX_OBJECTS: usize = 50_000;

/// Timeouts and limits of a client. [`Default`] gives the shipped values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientSettings {
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`ATTEMPT_TIMEOUT`].
    pub attempt_timeout: Duration,
    /// See [`CALL_TIMEOUT`].
    pub call_timeout: Duration,
    /// See [`FIRST_DELAY`].
    pub first_delay: Duration,
    /// See [`MAX_DELAY`].
    pub max_delay: Duration,
    /// See [`MAX_BODY_BYTES`].
    pub max_body_bytes: usize,
    /// See [`MAX_DECODED_BYTES`].
    pub max_decoded_bytes: usize,
    /// See [`MAX_PAGES`].
    pub max_pages: usize,
    /// See [`MAX_OBJECTS`].
    pub max_objects: usize,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            attempt_timeout: ATTEMPT_TIMEOUT,
            call_timeout: CALL_TIMEOUT,
            first_delay: FIRST_DELAY,
            max_delay: MAX_DELAY,
            max_body_bytes: MAX_BODY_BYTES,
            max_decoded_bytes: MAX_DECODED_BYTES,
            max_pages: MAX_PAGES,
            max_objects: MAX_OBJECTS,
        }
    }
}

impl ClientSettings {
    /// How long a request may go without a byte. Services compute the answer
    /// to a write before they send its first byte.
    pub fn idle_timeout_of(&self, method: &http::Method) -> Duration {
        if is_read(method) { self.idle_timeout } else { self.call_timeout }
    }

    /// How long one attempt may take.
    pub fn attempt_timeout_of(&self, method: &http::Method) -> Duration {
        if is_read(method) { self.attempt_timeout } else { self.call_timeout }
    }
}

fn is_read(method: &http::Method) -> bool {
    matches!(*method, http::Method::GET | http::Method::HEAD)
}
