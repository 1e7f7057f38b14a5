//! Response bodies: complete ones, and streams of watches.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ApiResponse;
use super::kubernetes::WatchRequest;
use super::shared::SharedSandbox;
use crate::provider::http::Api;

/// The default duration of a watch, in seconds, as on a real server.
const DEFAULT_WATCH_SECONDS: u64 = 1_800;

/// A response body, which may be a stream.
pub type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// Converts an API response into an HTTP response.
pub fn respond(sandbox: &SharedSandbox, response: ApiResponse) -> Response<ResponseBody> {
    match response {
        ApiResponse::Complete(response) => response.map(|body| Full::new(body).boxed_unsync()),
        ApiResponse::Watch(request) => {
            let watching = Watching::new(sandbox.clone(), request);
            let frames = stream::unfold(watching, |mut watching| async move {
                let lines = watching.next().await?;
                Some((Ok::<_, Infallible>(Frame::data(lines)), watching))
            });
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            let json = header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            response
        }
    }
}

struct Watching {
    sandbox: SharedSandbox,
    request: WatchRequest,
    changes: watch::Receiver<u64>,
    end: Instant,
    ended: bool,
}

impl Watching {
    fn new(sandbox: SharedSandbox, request: WatchRequest) -> Self {
        let changes = sandbox.changes();
        let seconds =
            request.timeout_seconds().unwrap_or(DEFAULT_WATCH_SECONDS).min(DEFAULT_WATCH_SECONDS);
        let end = Instant::now() + Duration::from_secs(seconds);
        Self { sandbox, request, changes, end, ended: false }
    }

    /// The next lines; `None` once the watch has ended.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.ended {
                return None;
            }
            self.changes.borrow_and_update();
            let lines = self.lines()?;
            self.ended = self.request.is_finished();
            if !lines.is_empty() {
                return Some(lines);
            }
            tokio::select! {
                changed = self.changes.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.end) => {
                    self.ended = true;
                    return self.bookmark();
                }
            }
        }
    }

    /// The new lines. A server that is deleted or down ends its watches.
    fn lines(&mut self) -> Option<Bytes> {
        let request = &mut self.request;
        self.sandbox.read(|sandbox| {
            let store = sandbox.kubernetes.as_ref()?;
            if sandbox.down.contains(&Api::Kubernetes) {
                return None;
            }
            let mut joined = BytesMut::new();
            for line in store.watch_events(request) {
                joined.extend_from_slice(&line);
            }
            Some(joined.freeze())
        })
    }

    fn bookmark(&mut self) -> Option<Bytes> {
        let request = &mut self.request;
        self.sandbox.read(|sandbox| sandbox.kubernetes.as_ref()?.watch_bookmark(request))
    }
}
