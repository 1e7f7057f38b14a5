//! Logs the requests of each command, without secrets.
//!
//! The log is stored with the state, so that a command can be inspected after its end. It is
//! limited to the latest commands and requests. The counts of a command are complete even if some
//! of its requests were dropped.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::provider::http::Api;

/// The maximum number of requests, of all commands together.
const MAX_ENTRIES: usize = 2_000;
/// The maximum number of commands.
const MAX_RUNS: usize = 50;
/// The maximum length of a logged path, because clients may send longer ones.
const MAX_PATH: usize = 512;

/// A bounded log of requests by command, with complete counts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RequestLog {
    #[serde(default)]
    runs: VecDeque<CommandRecord>,
    #[serde(default)]
    next_run: u64,
    /// The command of this process: other processes may use the sandbox at the same time.
    #[serde(skip)]
    current_run: Option<u64>,
    next: u64,
    counts: BTreeMap<Api, BTreeMap<String, u64>>,
    writes: u64,
}

/// A command that used the sandbox, and its requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// The sequence number.
    pub number: u64,
    /// The command, such as `plan`.
    pub command: String,
    /// The start time.
    pub began: Timestamp,
    /// Whether it makes requests. The injection of a fault is only a mark in the log.
    pub makes_requests: bool,
    /// Complete counts by API, including dropped requests.
    pub counts: BTreeMap<Api, RequestCounts>,
    /// The logged requests, oldest first.
    pub entries: VecDeque<RequestRecord>,
    /// The number of dropped requests.
    pub forgotten: u64,
}

/// The requests to one API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// The number of requests that change nothing.
    pub reads: u64,
    /// The number of requests that may change something.
    pub writes: u64,
    /// The number of requests by method.
    pub methods: BTreeMap<String, u64>,
}

/// One request, without headers, body and query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The sequence number.
    #[serde(rename = "seq")]
    pub number: u64,
    /// The API.
    pub api: Api,
    /// The method.
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The status of the response.
    pub status: u16,
    /// Whether the request may change something.
    pub write: bool,
}

impl CommandRecord {
    /// The number of requests that change nothing.
    pub fn reads(&self) -> u64 {
        self.counts.values().map(|counts| counts.reads).sum()
    }

    /// The number of requests that may change something.
    pub fn writes(&self) -> u64 {
        self.counts.values().map(|counts| counts.writes).sum()
    }
}

impl RequestLog {
    /// Starts a new command. The following requests belong to it.
    pub fn begin(&mut self, command: &str, now: Timestamp) {
        self.current_run = Some(self.next_run);
        self.push(command, now, true);
    }

    /// Adds a mark for an event that is not a request, such as a fault.
    pub fn mark(&mut self, what: &str, now: Timestamp) {
        self.current_run = None;
        self.push(what, now, false);
    }

    fn push(&mut self, command: &str, began: Timestamp, makes_requests: bool) {
        if self.runs.len() == MAX_RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(CommandRecord {
            number: self.next_run,
            command: command.to_owned(),
            began,
            makes_requests,
            counts: BTreeMap::new(),
            entries: VecDeque::new(),
            forgotten: 0,
        });
        self.next_run += 1;
    }

    /// Continues the log that another process wrote, for the command of this one.
    pub(super) fn continue_run_of(&mut self, earlier: &Self) {
        self.current_run = earlier.current_run;
    }

    fn position_of_current_run(&self) -> Option<usize> {
        let current = self.current_run?;
        self.runs.iter().rposition(|run| run.number == current)
    }

    /// Logs a request and the status of its response.
    pub fn record(
        &mut self,
        api: Api,
        request: &http::Request<Bytes>,
        status: u16,
        now: Timestamp,
    ) {
        let method = request.method().as_str().to_owned();
        let write = is_write(request);
        *self.counts.entry(api).or_default().entry(method.clone()).or_default() += 1;
        self.writes += u64::from(write);
        self.drop_oldest_request();
        if self.position_of_current_run().is_none() {
            // No command was started, for example in a test.
            self.begin("unnamed", now);
        }
        let current = self.position_of_current_run();
        let Some(run) = current.and_then(|position| self.runs.get_mut(position)) else { return };
        let counts = run.counts.entry(api).or_default();
        *counts.methods.entry(method.clone()).or_default() += 1;
        *(if write { &mut counts.writes } else { &mut counts.reads }) += 1;
        let path = shortened(request.uri().path());
        run.entries.push_back(RequestRecord {
            number: self.next,
            api,
            method,
            path,
            status,
            write,
        });
        self.next += 1;
    }

    /// Drops the oldest request if the log is full.
    fn drop_oldest_request(&mut self) {
        if self.runs.iter().map(|run| run.entries.len()).sum::<usize>() < MAX_ENTRIES {
            return;
        }
        if let Some(run) = self.runs.iter_mut().find(|run| !run.entries.is_empty()) {
            run.entries.pop_front();
            run.forgotten += 1;
        }
    }

    /// The latest commands and marks, oldest first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &CommandRecord> {
        self.runs.iter()
    }

    /// The last command that made requests.
    pub fn last_run(&self) -> Option<&CommandRecord> {
        self.runs().rfind(|run| run.makes_requests)
    }

    /// The latest requests of all commands, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &RequestRecord> {
        self.runs.iter().flat_map(|run| &run.entries)
    }

    /// The total number of requests by API and method.
    pub fn counts(&self) -> &BTreeMap<Api, BTreeMap<String, u64>> {
        &self.counts
    }

    /// The total number of requests to one API.
    pub fn count(&self, api: Api) -> u64 {
        self.counts.get(&api).map_or(0, |methods| methods.values().sum())
    }

    /// The total number of requests that may change something.
    pub fn writes(&self) -> u64 {
        self.writes
    }

    /// Clears the log including the counts.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

fn shortened(path: &str) -> String {
    match path.char_indices().nth(MAX_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// Whether a request may change something. A POST that asks for a credential, a review, a
/// computation or a dry run does not.
pub fn is_write(request: &http::Request<Bytes>) -> bool {
    use http::Method;
    let changing = [Method::PUT, Method::POST, Method::PATCH, Method::DELETE];
    if !changing.contains(request.method()) {
        return false;
    }
    let path = request.uri().path().trim_end_matches('/').to_ascii_lowercase();
    let last = path.rsplit('/').next().unwrap_or_default();
    let asking = last.starts_with("listcluster") && last.ends_with("credential")
        || last == "effectiveroutetable"
        || last.ends_with("reviews")
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

    fn note(log: &mut RequestLog, method: &str, uri: &str) {
        log.record(Api::Azure, &request(method, uri), 200, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn secrets_are_not_logged() {
        let mut log = RequestLog::default();
        note(&mut log, "POST", "https://tailscale.sandbox/api/v2/oauth/token?key=marked-secret");
        let text = serde_json::to_string(&log).unwrap();
        assert!(!text.contains("marked-secret"), "{text}");
        assert!(text.contains("/api/v2/oauth/token"), "{text}");
    }

    #[test]
    fn writes_and_reads_are_distinguished() {
        let mut log = RequestLog::default();
        for (method, path) in [
            ("GET", "/subscriptions"),
            ("POST", "/api/v2/oauth/token"),
            ("POST", "/x/managedClusters/c/listClusterUserCredential"),
            ("POST", "/x/networkInterfaces/i/effectiveRouteTable"),
            ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
            ("POST", "/api/v2/tailnet/-/acl/validate"),
            ("PATCH", "/api/v1/namespaces/x?dryRun=All&fieldManager=stargate"),
        ] {
            note(&mut log, method, path);
        }
        assert_eq!(log.writes(), 0);
        note(&mut log, "PUT", "/x/routeTables/t");
        assert_eq!((log.writes(), log.count(Api::Azure)), (1, 9));
        assert_eq!(log.entries().filter(|entry| entry.write).count(), 1);
    }

    #[test]
    fn requests_belong_to_their_command() {
        let mut log = RequestLog::default();
        assert_eq!(log.last_run(), None);
        log.begin("apply", Timestamp::UNIX_EPOCH);
        note(&mut log, "PUT", "/x/routeTables/t");
        log.begin("plan", Timestamp::UNIX_EPOCH);
        note(&mut log, "GET", "/x/routeTables/t");
        note(&mut log, "GET", "/x/routeTables");
        log.mark("sandbox break udr-missing", Timestamp::UNIX_EPOCH);
        let last = log.last_run().unwrap();
        assert_eq!((last.command.as_str(), last.reads(), last.writes()), ("plan", 2, 0));
        assert_eq!(last.counts[&Api::Azure].methods["GET"], 2);
        let commands: Vec<&str> = log.runs().map(|run| run.command.as_str()).collect();
        assert_eq!(commands, ["apply", "plan", "sandbox break udr-missing"]);
        // Requests after a mark do not belong to the previous command.
        note(&mut log, "GET", "/x");
        assert_eq!(log.last_run().map(CommandRecord::reads), Some(1));
        assert_eq!((log.writes(), log.count(Api::Azure)), (1, 4));
    }

    #[test]
    fn the_log_is_bounded_and_the_counts_are_complete() {
        let mut log = RequestLog::default();
        log.begin("apply", Timestamp::UNIX_EPOCH);
        note(&mut log, "PUT", "/first");
        log.begin("plan", Timestamp::UNIX_EPOCH);
        for _ in 0..MAX_ENTRIES + 4 {
            note(&mut log, "GET", &format!("/{}", "x".repeat(10_000)));
        }
        assert_eq!(log.entries().count(), MAX_ENTRIES);
        assert_eq!(log.entries().next().map(|entry| entry.number), Some(5));
        assert_eq!(log.count(Api::Azure), MAX_ENTRIES as u64 + 5);
        let (apply, plan) = (log.runs().next().unwrap(), log.last_run().unwrap());
        assert_eq!((apply.writes(), apply.forgotten, apply.entries.len()), (1, 1, 0));
        assert_eq!((plan.reads(), plan.forgotten), (MAX_ENTRIES as u64 + 4, 4));
        for _ in 0..2 * MAX_RUNS {
            log.begin("plan", Timestamp::UNIX_EPOCH);
        }
        assert_eq!(log.runs().count(), MAX_RUNS);
        note(&mut log, "GET", "/");
        let text = serde_json::to_string(&log).unwrap();
        assert!(text.len() < 2_000_000, "{}", text.len());
    }

    #[test]
    fn a_log_in_an_older_format_is_read() {
        let old = r#"{"entries":[],"next":7,"counts":{},"writes":3}"#;
        let log: RequestLog = serde_json::from_str(old).unwrap();
        assert_eq!((log.writes(), log.runs().count()), (3, 0));
    }
}
