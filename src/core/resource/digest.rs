//! The digest by which a text that was written is recognised.

use sha2::{Digest, Sha256};

/// SHA-256 of a text, in hexadecimal.
pub fn text_digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
