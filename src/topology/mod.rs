//! The topology file: its format, its loading with spans, its lints.

pub mod model;
pub mod names;
pub mod version;
