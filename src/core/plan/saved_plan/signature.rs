//! The signature of a saved plan: HMAC-SHA256 with a key that only the users of the
//! topology have.

use std::fmt;

use ring::hmac;

/// The prefix of the signed text, so that a signature is valid for saved plans only.
const CONTEXT: &str = "stargate saved plan\n";

/// The key that signs saved plans.
pub struct PlanKey(hmac::Key);

/// The key is too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key has {bytes} bytes; at least {} are required", PlanKey::MIN_BYTES)]
pub struct ShortKey {
    /// Its length.
    pub bytes: usize,
}

impl fmt::Debug for PlanKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PlanKey(…)")
    }
}

impl PlanKey {
    /// The length of a key in bytes. HMAC is as strong as its hash from the length of
    /// the digest on (RFC 2104, section 3).
    pub const MIN_BYTES: usize = 32;

    /// Wraps a key.
    ///
    /// # Errors
    ///
    /// The key is shorter than [`PlanKey::MIN_BYTES`].
    pub fn new(secret: &[u8]) -> Result<Self, ShortKey> {
        match secret.len() {
            bytes if bytes < Self::MIN_BYTES => Err(ShortKey { bytes }),
            _ => Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        }
    }

    /// The signature of a plan with this digest, in hexadecimal digits.
    pub(super) fn sign(&self, digest: &str) -> String {
        hexadecimal(hmac::sign(&self.0, message(digest).as_bytes()).as_ref())
    }

    /// Whether the signature is that of a plan with this digest; compared in constant
    /// time.
    pub(super) fn verify(&self, digest: &str, signature: &str) -> bool {
        let Some(tag) = from_hexadecimal(signature) else { return false };
        hmac::verify(&self.0, message(digest).as_bytes(), &tag).is_ok()
    }
}

fn message(digest: &str) -> String {
    format!("{CONTEXT}{digest}")
}

/// Bytes in hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_whole = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    is_whole.then(|| digits.chunks(2).map(byte).collect()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_digest_verify() {
        let key = PlanKey::new(&[7; 32]).unwrap();
        let signature = key.sign("digest");
        assert_eq!(signature.len(), 64);
        assert!(key.verify("digest", &signature));
        assert!(!key.verify("another", &signature));
        assert!(!PlanKey::new(&[8; 32]).unwrap().verify("digest", &signature));
        for damaged in ["", "0", "zz", &signature[2..], &format!("{signature}00"), "+1"] {
            assert!(!key.verify("digest", damaged), "{damaged}");
        }
    }

    /// Computed with `printf 'stargate saved plan\nabc' | openssl dgst -sha256 -hmac KEY`.
    #[test]
    fn the_signature_is_hmac_sha256() {
        let key = PlanKey::new(b"0123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(
            key.sign("abc"),
            "d8a593488781822fac397ffa6a87729d31b43242b76564d90cf3d86714d076f8"
        );
    }

    #[test]
    fn short_keys_are_refused() {
        assert_eq!(PlanKey::new(&[1; 31]).unwrap_err(), ShortKey { bytes: 31 });
        assert_eq!(format!("{:?}", PlanKey::new(&[1; 32]).unwrap()), "PlanKey(…)");
    }
}
