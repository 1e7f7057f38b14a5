//! The door to the tailnet.

pub mod client;
pub mod model;

pub use client::TailnetClient;
pub use model::{Policy, TailnetDevice};
