//! What the world was asked: enough to count calls, nothing that is secret.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::provider::http::Api;

/// How many entries are kept; the counts go on.
const CAPACITY: usize = 2_000;

/// A bounded record of requests, with counts over all of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestLog {
    entries: VecDeque<Entry>,
    next: u64,
    counts: BTreeMap<Api, BTreeMap<String, u64>>,
    writes: u64,
}

/// One request. Headers, bodies and queries are never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    #[serde(rename = "seq")]
    pub number: u64,
    /// Who was asked.
    pub api: Api,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status answered.
    pub status: u16,
}

impl RequestLog {
    /// Notes a request and its status.
    pub fn record(&mut self, api: Api, request: &http::Request<Bytes>, status: u16) {
        let method = request.method().as_str().to_owned();
        *self.counts.entry(api).or_default().entry(method.clone()).or_default() += 1;
        if is_write(request) {
            self.writes += 1;
        }
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        let path = request.uri().path().to_owned();
        self.entries.push_back(Entry { number: self.next, api, method, path, status });
        self.next += 1;
    }

    /// The latest requests, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter()
    }

    /// How many requests each API got, by method.
    pub fn counts(&self) -> &BTreeMap<Api, BTreeMap<String, u64>> {
        &self.counts
    }

    /// How many requests one API got.
    pub fn count(&self, api: Api) -> u64 {
        self.counts.get(&api).map_or(0, |methods| methods.values().sum())
    }

    /// How many requests meant to change something.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Forgets everything, the counts too.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Whether a request means to change something: asking for a credential, an
/// opinion or a dry run by POST does not.
pub fn is_write(request: &http::Request<Bytes>) -> bool {
    use http::Method;
    let changing = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    if !changing.contains(request.method()) {
        return false;
    }
    let path = request.uri().path().trim_end_matches('/').to_ascii_lowercase();
    let last = path.rsplit('/').next().unwrap_or_default();
    let asking = last.starts_with("listcluster") && last.ends_with("credential")
        || last.ends_with("accessreviews")
        || path.ends_with("/acl/validate")
        || path.contains("/oauth") && (last == "token" || last == "token-exchange");
    let dry_run = request.uri().query().is_some_and(|query| query.contains("dryRun="));
    !asking && !dry_run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str) -> http::Request<Bytes> {
        http::Request::builder()
            .method(method)
            .uri(uri)
            .header("authorization", "Bearer marked-secret")
            .body(Bytes::from_static(b"client_secret=marked-secret"))
            .unwrap()
    }

    #[test]
    fn nothing_secret_is_kept() {
        let mut log = RequestLog::default();
        let asked =
            request("POST", "https://tailscale.sandbox/api/v2/oauth/token?key=marked-secret");
        log.record(Api::Tailscale, &asked, 200);
        let text = serde_json::to_string(&log).unwrap();
        assert!(!text.contains("marked-secret"), "{text}");
        assert!(text.contains("/api/v2/oauth/token"), "{text}");
    }

    #[test]
    fn writes_are_told_from_questions() {
        let mut log = RequestLog::default();
        for (method, path) in [
            ("GET", "/subscriptions"),
            ("POST", "/api/v2/oauth/token"),
            ("POST", "/x/managedClusters/c/listClusterUserCredential"),
            ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            ("POST", "/api/v2/tailnet/-/acl/validate"),
            ("PATCH", "/api/v1/namespaces/x?dryRun=All&fieldManager=stargate"),
        ] {
            log.record(Api::Azure, &request(method, path), 200);
        }
        assert_eq!(log.writes(), 0);
        log.record(Api::Azure, &request("PUT", "/x/routeTables/t"), 200);
        assert_eq!((log.writes(), log.count(Api::Azure)), (1, 7));
    }

    #[test]
    fn the_record_is_bounded_and_the_counts_are_not() {
        let mut log = RequestLog::default();
        for _ in 0..CAPACITY + 5 {
            log.record(Api::Azure, &request("GET", "/"), 200);
        }
        assert_eq!(log.entries().count(), CAPACITY);
        assert_eq!(log.entries().next().map(|entry| entry.number), Some(5));
        assert_eq!(log.count(Api::Azure), CAPACITY as u64 + 5);
    }
}
