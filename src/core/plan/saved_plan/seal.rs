//! The digest by which a truncated or edited file is noticed.

use std::io::{self, Write};

use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::signature::hexadecimal;

/// The fields of the file beside its body.
#[derive(Deserialize)]
pub(super) struct Seal {
    /// See [`TokenDigest`].
    pub(super) sha256: Option<String>,
    /// The signature of the digest, if the plan was saved with a key.
    pub(super) signature: Option<String>,
}

/// The SHA-256 digest of JSON text without the white space between its tokens:
/// an editor may indent the file, and any other edit is noticed.
pub(super) struct TokenDigest {
    hasher: Sha256,
    in_string: bool,
    escaped: bool,
}

impl TokenDigest {
    pub(super) fn new() -> Self {
        Self { hasher: Sha256::new(), in_string: false, escaped: false }
    }

    /// The digest of a text.
    pub(super) fn of(text: &str) -> String {
        let mut digest = Self::new();
        digest.add(text.as_bytes());
        digest.finish()
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if self.in_string {
                self.step_in_string(*byte);
            } else if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                self.hasher.update(&bytes[start..at]);
                start = at + 1;
            } else {
                self.in_string = *byte == b'"';
            }
        }
        self.hasher.update(&bytes[start..]);
    }

    fn step_in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    pub(super) fn finish(self) -> String {
        hexadecimal(&self.hasher.finalize())
    }
}

/// Writes bytes, and digests them on the way.
pub(super) struct Digesting<W> {
    out: W,
    digest: TokenDigest,
}

impl<W: Write> Digesting<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, digest: TokenDigest::new() }
    }

    /// The inner writer, and the digest of the written bytes.
    pub(super) fn finish(self) -> (W, String) {
        (self.out, self.digest.finish())
    }
}

impl<W: Write> Write for Digesting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.add(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The text of the value of `saved_plan`, which is the first member of a file
/// that is well-formed JSON.
pub(super) fn body_of(text: &str) -> Option<&str> {
    let rest = text.trim_start().strip_prefix('{')?.trim_start();
    let rest = rest.strip_prefix("\"saved_plan\"")?.trim_start().strip_prefix(':')?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = values.byte_offset();
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_is_ignored() {
        let compact = r#"{"a b":"c \" d","e":[1,2]}"#;
        let spaced = "{ \"a b\" :\n\t\"c \\\" d\",\r\n \"e\": [1, 2] }";
        assert_eq!(TokenDigest::of(compact), TokenDigest::of(spaced));
        for other in [r#"{"ab":"c \" d","e":[1,2]}"#, r#"{"a b":"c \"  d","e":[1,2]}"#] {
            assert_ne!(TokenDigest::of(compact), TokenDigest::of(other), "{other}");
        }
    }

    #[test]
    fn the_digest_does_not_depend_on_write_sizes() {
        let text = r#"{ "a\\": "b \" c" , "d" : 1 }"#;
        let mut writer = Digesting::new(Vec::new());
        text.bytes().for_each(|byte| writer.write_all(&[byte]).unwrap());
        let (out, digest) = writer.finish();
        assert_eq!((out.as_slice(), digest), (text.as_bytes(), TokenDigest::of(text)));
    }

    #[test]
    fn the_body_is_found_between_other_fields() {
        assert_eq!(body_of("{\"saved_plan\":{\"a\":[{}]},\"sha256\":\"\"}"), Some("{\"a\":[{}]}"));
        let spaced = body_of(" {\n \"saved_plan\" : {} , \"x\": 1}").map(str::trim);
        assert_eq!(spaced, Some("{}"));
        assert_eq!(body_of("{\"sha256\":\"\"}"), None);
        assert_eq!(body_of("[1, 2]"), None);
    }
}
