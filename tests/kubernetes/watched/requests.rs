//! The requests of an account: each is kept, and sent again to show what the account may not do
//! without a rule.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Uri};
use kube::client::Body;
use serde_json::Value;

use crate::api_server::{APPLY, Caller};
use crate::api_use::{Use, use_of};

/// A request that can be sent again.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) uri: Uri,
    media: String,
    pub(super) body: Bytes,
}

/// The requests of each use, and the uses that were forbidden.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests(Arc<Mutex<Found>>);

#[derive(Debug, Default)]
struct Found {
    /// By use, one for each path.
    sent: BTreeMap<Use, BTreeMap<String, Sent>>,
    forbidden: Vec<String>,
    total: u64,
}

impl Requests {
    /// Notes a request, and returns it to be sent.
    pub(super) async fn note(&self, request: Request<Body>) -> Request<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let media = parts.headers.get("content-type");
        let sent = Sent {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            media: media.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned(),
            body: body.clone(),
        };
        let mut found = self.0.lock().unwrap();
        found.total += 1;
        if let Some(used) = use_by(&sent) {
            let path = sent.uri.path().to_owned();
            found.sent.entry(used).or_default().entry(path).or_insert(sent);
        }
        Request::from_parts(parts, Body::from(body.to_vec()))
    }

    /// Notes an answer.
    pub(super) fn answered(&self, method: &Method, path: &str, status: u16) {
        if matches!(status, 401 | 403) {
            self.0.lock().unwrap().forbidden.push(format!("{status} {method} {path}"));
        }
    }

    pub(super) fn forbidden(&self) -> Vec<String> {
        self.0.lock().unwrap().forbidden.clone()
    }

    pub(super) fn total(&self) -> u64 {
        self.0.lock().unwrap().total
    }

    /// The requests of each use.
    pub(super) fn sent(&self) -> Vec<(Use, Sent)> {
        let found = self.0.lock().unwrap();
        let each = found
            .sent
            .iter()
            .flat_map(|(used, sent)| sent.values().map(move |sent| (used.clone(), sent.clone())));
        each.collect()
    }
}

impl Sent {
    /// Sends it again as a dry run: the answer counts, and nothing changes.
    pub(super) async fn repeat(&self, account: &Caller) -> u16 {
        let path = self.uri.path();
        let mut query: Vec<String> = self
            .uri
            .query()
            .into_iter()
            .flat_map(|it| it.split('&'))
            .filter(|it| !it.starts_with("timeoutSeconds"))
            .map(str::to_owned)
            .collect();
        match self.method {
            Method::GET if query.iter().any(|it| it.starts_with("watch")) => {
                query.push("timeoutSeconds=1".to_owned());
            }
            Method::GET => {}
            _ => query.push("dryRun=All".to_owned()),
        }
        let mut body = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        // The object has changed since; a conflict would hide the answer.
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        let path = format!("{path}?{}", query.join("&"));
        account.send(self.method.as_str(), &path, &self.media, &body).await.code
    }

    /// Whether it is server-side apply, which creates an object that is not there.
    pub(super) fn is_apply(&self) -> bool {
        self.media == APPLY
    }

    /// The same request about an object that does not exist.
    pub(super) fn of_another_object(&self) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        let (collection, name) = self.uri.path().rsplit_once('/').unwrap();
        let (other, body) = match name.split_once('.') {
            // The name of a definition is made of names in it.
            Some((plural, group)) => {
                let other = format!("{plural}x");
                (format!("{other}.{group}"), text.replace(plural, &other))
            }
            None => {
                let (from, to) = (format!("\"name\":\"{name}\""), format!("\"name\":\"{name}x\""));
                (format!("{name}x"), text.replacen(&from, &to, 1))
            }
        };
        let uri = format!("{collection}/{other}?{}", self.uri.query().unwrap_or_default());
        Self { uri: uri.parse().unwrap(), body: body.into(), ..self.clone() }
    }
}

/// The use that a request makes; `None` for discovery.
fn use_by(sent: &Sent) -> Option<Use> {
    let is_watch = sent.uri.query().is_some_and(|it| it.contains("watch=true"));
    use_of(&sent.method, sent.uri.path(), is_watch)
}
