//! Answers as bodies: whole ones, and watches that go on.

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

use super::Answer;
use super::kubernetes::WatchRequest;
use super::shared::SharedWorld;
use crate::provider::http::Api;

/// How long a watch lasts when the client names no time, as at a real server.
const WATCH_LIFE: u64 = 1_800;

/// A body that may go on for as long as somebody listens.
pub type WorldBody = UnsyncBoxBody<Bytes, Infallible>;

/// Gives an answer its body.
pub fn respond(world: &SharedWorld, answer: Answer) -> Response<WorldBody> {
    match answer {
        Answer::Complete(response) => response.map(|body| Full::new(body).boxed_unsync()),
        Answer::Watch(request) => {
            let watching = Watching::new(world.clone(), request);
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
    world: SharedWorld,
    request: WatchRequest,
    changes: watch::Receiver<u64>,
    end: Instant,
    ended: bool,
}

impl Watching {
    fn new(world: SharedWorld, request: WatchRequest) -> Self {
        let changes = world.changes();
        let seconds = request.timeout_seconds().unwrap_or(WATCH_LIFE).min(WATCH_LIFE);
        let end = Instant::now() + Duration::from_secs(seconds);
        Self { world, request, changes, end, ended: false }
    }

    /// The next lines; none once the watch is over.
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

    /// What is new; a server that is gone or down ends its watches.
    fn lines(&mut self) -> Option<Bytes> {
        let request = &mut self.request;
        self.world.read(|world| {
            let store = world.kubernetes.as_ref()?;
            if world.down.contains(&Api::Kubernetes) {
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
        self.world.read(|world| world.kubernetes.as_ref()?.watch_bookmark(request))
    }
}
