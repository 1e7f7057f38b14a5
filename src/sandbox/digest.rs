//! Digests of secrets: the sandbox does not store the secrets themselves.

use sha2::{Digest, Sha256};

/// The stored digest of a secret, in hexadecimal digits.
pub(super) fn digest(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
