//! The topology file: its format, loading with spans, and lints.

pub mod changes;
mod check;
pub mod fields;
pub mod file;
pub mod ignore;
pub mod lints;
pub mod load;
pub mod located;
pub mod model;
pub mod reference;
pub mod schema;
mod shape;
pub mod spans;

pub use crate::resource::{names, version};
