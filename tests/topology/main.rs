//! The topology file: mistakes and what is said of them, edits, the schema.

mod bad_input;
mod follow_ups;
mod schema;
