//! `--listen`: probes and metrics over HTTP. Nothing can be changed by it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::reconciler::Election;
use crate::cli::error::CliError;
use crate::resource::names::TopologyName;
use crate::watch::{Monitor, OperationCounts, Triggers, merge_metrics};

/// How many connections are open at once; others wait.
const MAX_CONNECTIONS: usize = 32;
/// How long a connection may stay open.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The time until the next attempt if the system cannot accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The state from which requests about one topology are answered.
#[derive(Clone)]
pub(super) struct WatchedAnswers {
    pub(super) monitor: Arc<Monitor>,
    pub(super) triggers: Triggers,
    pub(super) operations: OperationCounts,
    pub(super) election: Election,
}

/// The state from which requests are answered. Clones share the topologies.
#[derive(Clone)]
pub(super) struct Answers {
    takes_lease: bool,
    /// Whether there may be several topologies, so that metrics name them.
    is_folder: bool,
    topologies: Arc<Mutex<BTreeMap<Option<TopologyName>, WatchedAnswers>>>,
    /// The number of files of the folder that are invalid and have no watched topology.
    invalid_files: Gauge,
}

/// A listener. It ends when it is dropped.
pub(super) struct Listener {
    /// The address with the port that the system chose.
    pub(super) address: SocketAddr,
    _task: JoinSet<()>,
}

impl Listener {
    /// Binds the address, and answers from now on.
    pub(super) async fn start(address: SocketAddr, answers: Answers) -> Result<Self, CliError> {
        let refused = |error: std::io::Error| {
            CliError::new(format!("cannot listen on {address}: {error}"))
                .remedy("choose another `--listen ADDRESS:PORT`, or end the process that uses it")
        };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let mut task = JoinSet::new();
        task.spawn(accept(listener, answers));
        Ok(Self { address, _task: task })
    }
}

async fn accept(listener: TcpListener, answers: Answers) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(CONNECTION_TIMEOUT, serve(stream, answers.clone())));
                }
                // It fails temporarily, for example if there are no file handles left.
                Err(_) => sleep(ACCEPT_RETRY).await,
            },
        }
    }
}

async fn serve(stream: TcpStream, answers: Answers) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answers.respond(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    // A client that breaks its connection concerns no other.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

impl Answers {
    /// About the watch of one topology.
    pub(super) fn of_one(watched: WatchedAnswers, takes_lease: bool) -> Self {
        let topologies = Arc::new(Mutex::new(BTreeMap::from([(None, watched)])));
        Self { takes_lease, is_folder: false, topologies, invalid_files: Gauge::default() }
    }

    /// About the topologies of a folder.
    pub(super) fn of_folder(takes_lease: bool) -> Self {
        Self {
            takes_lease,
            is_folder: true,
            topologies: Arc::default(),
            invalid_files: Gauge::default(),
        }
    }

    /// Notes the number of invalid files that have no watched topology.
    pub(super) fn set_invalid_files(&self, count: usize) {
        self.invalid_files.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Adds a topology of a folder.
    pub(super) fn add(&self, topology: &TopologyName, watched: WatchedAnswers) {
        self.topologies().insert(Some(topology.clone()), watched);
    }

    /// Removes a topology of a folder.
    pub(super) fn remove(&self, topology: &TopologyName) {
        self.topologies().remove(&Some(topology.clone()));
    }

    fn topologies(&self) -> MutexGuard<'_, BTreeMap<Option<TopologyName>, WatchedAnswers>> {
        self.topologies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
        }
        match path {
            "/livez" => response(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => match self.metrics() {
                Ok(text) => response(StatusCode::OK, OPEN_METRICS, text),
                Err(error) => {
                    response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n"))
                }
            },
            _ => response(StatusCode::NOT_FOUND, PLAIN, "/livez, /readyz or /metrics\n"),
        }
    }

    fn metrics(&self) -> Result<String, std::fmt::Error> {
        let texts: Result<Vec<String>, std::fmt::Error> =
            self.topologies().values().map(|it| it.metrics(self.takes_lease)).collect();
        let mut texts = texts?;
        if self.is_folder {
            texts.push(self.folder_metrics()?);
        }
        Ok(merge_metrics(&texts))
    }

    fn folder_metrics(&self) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("stargate");
        let help = "Files of the folder that are invalid and have no watched topology";
        registry.register("invalid_files", help, self.invalid_files.clone());
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    /// A replica that stands by is ready: it takes over.
    fn readiness(&self) -> Response<Full<Bytes>> {
        let topologies = self.topologies();
        let is_ready = |it: &WatchedAnswers| it.monitor.is_ready();
        let is_tried = |it: &WatchedAnswers| is_ready(it) || it.monitor.has_finished_reconcile();
        // One topology of a folder whose services cannot be read says nothing about the others.
        let any_ready = topologies.is_empty() || topologies.values().any(is_ready);
        let ready = any_ready && topologies.values().all(is_tried);
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut text = String::new();
        for (topology, watched) in topologies.iter() {
            let name = topology.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
            let refresh =
                match (watched.monitor.is_ready(), watched.monitor.has_finished_reconcile()) {
                    (true, _) => "done",
                    (false, true) => "failed",
                    (false, false) => "pending",
                };
            let lease = match watched.leads(self.takes_lease) {
                Some(true) => "held",
                Some(false) => "not held",
                None => "not used",
            };
            text += &format!("{name}first refresh: {refresh}\n{name}leader lease: {lease}\n");
        }
        if self.is_folder {
            text += &format!("topologies: {}\n", topologies.len());
            text += &format!("invalid files: {}\n", self.invalid_files.get());
        }
        response(status, PLAIN, text)
    }
}

impl WatchedAnswers {
    /// Whether this replica holds the Lease of the leader; `None` if it takes none.
    fn leads(&self, takes_lease: bool) -> Option<bool> {
        takes_lease.then(|| self.election.is_won())
    }

    fn metrics(&self, takes_lease: bool) -> Result<String, std::fmt::Error> {
        let leads = self.leads(takes_lease).unwrap_or(false);
        self.monitor.metrics(leads, self.triggers.waiting(), &self.operations)
    }
}

fn response(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
