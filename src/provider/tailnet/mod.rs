//! The client of the Tailscale API.

pub mod client;
pub mod model;
mod owner;

pub use client::{TailnetClient, key_description};
pub use model::{TailnetDevice, TailnetPolicy};
