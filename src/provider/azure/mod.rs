//! The client of Azure Resource Manager.

pub mod api_version;
pub mod client;
pub mod codec;
mod follow_operation;
mod operation;
mod page;
mod tags;

pub use client::{ArmClient, Precondition};
pub use tags::TagUpdate;
