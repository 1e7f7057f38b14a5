//! The client of the Tailscale API.

pub mod client;
pub mod model;

pub use client::{TailnetClient, key_description};
pub use model::{TailnetDevice, TailnetPolicy};
