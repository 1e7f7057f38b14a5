//! Reports to the person who must act: stable codes, failures
//! with their causes, places in the topology file, remedies.

mod code;
mod diagnostic;
mod failure;
pub mod redact;
pub mod service_text;

use std::ops::Range;

pub use code::{Code, UnknownCode};
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity, closest, counted, nearest};
pub use failure::Failure;
pub use service_text::ServiceText;

/// A range of bytes in the topology file.
pub type Span = Range<usize>;
