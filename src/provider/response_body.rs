//! Reading an answer's body without trusting its length.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::http::{TransportError, TransportFault};

/// The least memory of a JSON object: one node of a B-tree map.
const OBJECT_BYTES: usize = 640;
/// The least memory of any other JSON value, in an array or a node.
const VALUE_BYTES: usize = 32;
/// The least memory of a string on the heap, beside its text.
const STRING_BYTES: usize = 16;
/// No JSON text takes more times its length than this once decoded.
const MAX_RATIO: usize = 128;

/// Collects chunks of a body up to a limit.
#[derive(Debug)]
pub(super) struct BodyCollector {
    chunks: Vec<Bytes>,
    length: usize,
    limit: usize,
}

impl BodyCollector {
    /// Takes at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { chunks: Vec::new(), length: 0, limit }
    }

    /// Adds a chunk.
    ///
    /// # Errors
    ///
    /// The body is longer than the limit.
    pub(super) fn push(&mut self, chunk: Bytes) -> Result<(), TransportFault> {
        self.length = self.length.saturating_add(chunk.len());
        if self.length > self.limit {
            return Err(TransportFault::TooLarge { limit: self.limit });
        }
        self.chunks.push(chunk);
        Ok(())
    }

    /// The whole body.
    pub(super) fn finish(mut self) -> Bytes {
        if self.chunks.len() == 1 {
            return self.chunks.remove(0);
        }
        let mut body = BytesMut::with_capacity(self.length);
        self.chunks.iter().for_each(|chunk| body.extend_from_slice(chunk));
        body.freeze()
    }
}

/// Reads a body of at most `limit` bytes that never pauses longer than `idle`.
///
/// # Errors
///
/// It is longer, pauses longer, or breaks off.
pub(super) async fn read<B>(
    mut body: B,
    limit: usize,
    idle: Duration,
) -> Result<Bytes, TransportFault>
where
    B: BodyExt<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut collector = BodyCollector::new(limit);
    loop {
        let frame = tokio::time::timeout(idle, body.frame()).await;
        match frame.map_err(|_| TransportFault::idle(idle))? {
            None => return Ok(collector.finish()),
            Some(Err(error)) => return Err(TransportFault::lost(&*error.into())),
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    collector.push(chunk)?;
                }
            }
        }
    }
}

/// Refuses JSON that would take more memory than `limit` bytes once decoded.
///
/// # Errors
///
/// It would.
pub(super) fn check_decoded_size(
    body: &[u8],
    limit: usize,
    host: &str,
) -> Result<(), TransportError> {
    if body.len() <= limit / MAX_RATIO || decoded_size(body) <= limit {
        return Ok(());
    }
    let fault = TransportFault::TooLarge { limit };
    Err(TransportError { host: host.to_owned(), fault })
}

/// About how many bytes a JSON text takes once decoded, counted by its
/// structure alone: it need not be valid.
fn decoded_size(body: &[u8]) -> usize {
    let (mut size, mut in_text, mut escaped) = (body.len(), false, false);
    for byte in body {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            continue;
        }
        size += match byte {
            b'"' => {
                in_text = true;
                STRING_BYTES
            }
            b'{' => OBJECT_BYTES,
            b'[' | b',' => VALUE_BYTES,
            _ => 0,
        };
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structure_counts_and_text_does_not() {
        assert_eq!(decoded_size(br#""{[,{[,""#), 8 + STRING_BYTES);
        assert_eq!(decoded_size(br#""\"{""#), 5 + STRING_BYTES);
        assert_eq!(decoded_size(b"[{},1]"), 6 + OBJECT_BYTES + 2 * VALUE_BYTES);
        let many = format!("[{}0]", r#"{"a":1},"#.repeat(10_000));
        assert!(check_decoded_size(many.as_bytes(), 1 << 20, "h").is_err());
        assert!(check_decoded_size(many.as_bytes(), 100 << 20, "h").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_up_to_its_limit() {
        let body = |length: usize| http_body_util::Full::new(Bytes::from(vec![b'x'; length]));
        let second = Duration::from_secs(1);
        assert_eq!(read(body(10), 10, second).await.unwrap().len(), 10);
        let fault = read(body(11), 10, second).await.unwrap_err();
        assert_eq!(fault, TransportFault::TooLarge { limit: 10 });
    }
}
