//! The shape of the code: its layers, sizes, imports and vocabulary.
//!
//! Sources are read as tokens, without a compiler.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cycles;
mod former_words;
mod imports;
mod layers;
mod openings;
mod public_types;
mod sizes;
mod sources;
mod tokens;
mod unused;
mod vocabulary;
