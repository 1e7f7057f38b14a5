//! A wire that follows a script, for tests of the clients.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::http::{Transport, TransportError};

/// A request that is expected, and its answer.
pub(crate) struct ScriptedStep {
    method: &'static str,
    path: String,
    response: Option<http::Response<Bytes>>,
}

impl ScriptedStep {
    /// Expects a method (`*` for any) and a path with its query, by its beginning.
    pub(crate) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), response: Some(http::Response::new(Bytes::new())) }
    }

    /// Responds with a status and a JSON body; null means an empty one.
    pub(crate) fn respond(mut self, status: u16, body: Value) -> Self {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.response = Some(http::Response::builder().status(status).body(bytes).unwrap());
        self
    }

    /// Adds a header to the answer.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Some(response) = &mut self.response {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        self
    }

    /// Lets the connection drop instead of answering.
    pub(crate) fn dropped(mut self) -> Self {
        self.response = None;
        self
    }
}

/// The script and the requests so far.
#[derive(Default)]
pub(crate) struct Scripted {
    steps: Mutex<VecDeque<ScriptedStep>>,
    observed: Mutex<Vec<http::Request<Bytes>>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Scripted")
    }
}

impl Scripted {
    pub(crate) fn new(steps: Vec<ScriptedStep>) -> Self {
        Self { steps: Mutex::new(steps.into()), observed: Mutex::default() }
    }

    pub(crate) fn assert_finished(&self) {
        let left: Vec<String> = self
            .steps
            .lock()
            .unwrap()
            .iter()
            .map(|step| format!("{} {}", step.method, step.path))
            .collect();
        assert!(left.is_empty(), "never asked: {left:?}");
    }

    /// A header of the request with that index.
    pub(crate) fn seen_header(&self, index: usize, name: &str) -> Option<String> {
        let observed = self.observed.lock().unwrap();
        observed[index].headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    /// The body of the request with that index.
    pub(crate) fn seen_body(&self, index: usize) -> String {
        String::from_utf8(self.observed.lock().unwrap()[index].body().to_vec()).unwrap()
    }

    /// The URI of the request with that index.
    pub(crate) fn seen_uri(&self, index: usize) -> String {
        self.observed.lock().unwrap()[index].uri().to_string()
    }
}

#[async_trait]
impl Transport for Scripted {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let requested = format!("{} {}", request.method(), request.uri());
        let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        let method = request.method().to_string();
        self.observed.lock().unwrap().push(request);
        let step = self.steps.lock().unwrap().pop_front();
        let step = step.unwrap_or_else(|| panic!("not in the script: {requested}"));
        assert!(step.method == "*" || step.method == method, "{requested}, not {}", step.method);
        assert!(path.starts_with(&step.path), "{requested}, not {}", step.path);
        step.response.ok_or_else(|| TransportError::lost("test", "dropped"))
    }
}
