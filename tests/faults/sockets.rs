//! Faults on the wire: a loopback server between the real HTTP stacks of
//! reqwest and kube and the emulated services, with timeouts of a second.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use stargate::plan::PlanStatus;
use stargate::provider::azure::ArmClient;
use stargate::provider::clients::{
    Clients, ClusterConnector, KubeconfigConnector, KubeconfigSource,
};
use stargate::provider::cluster::ClusterError;
use stargate::provider::credentials::{StaticToken, TailnetCredentials};
use stargate::provider::http::{Api, RequestCount};
use stargate::provider::limits::Limits;
use stargate::provider::read_write::ClusterWrite;
use stargate::provider::reqwest_transport::ReqwestTransport;
use stargate::provider::retry::RetryingHosts;
use stargate::provider::secret::Secret;
use stargate::provider::settings::{CALL_TIMEOUT, ClientSettings};
use stargate::provider::tailnet::TailnetClient;
use stargate::resource::Owner;
use stargate::sandbox::ApiResponse;

use crate::deployment::{Deployment, EXAMPLE, removals};
use crate::fault::Fault;
use crate::responses::{ask_for_first_page, distort};

/// A second without a byte is too long; the rest is in proportion.
fn a_second() -> ClientSettings {
    let second = Duration::from_secs(1);
    ClientSettings {
        connect_timeout: second,
        idle_timeout: second,
        attempt_timeout: 2 * second,
        call_timeout: 4 * second,
        first_delay: Duration::from_millis(50),
        ..ClientSettings::default()
    }
}

/// The example, applied, behind sockets.
pub(crate) async fn behind_sockets(settings: ClientSettings) -> Deployment {
    let (sandbox, _) = Deployment::applied().await;
    let mut deployment = Deployment::at(sandbox, EXAMPLE, Timestamp::now());
    let mut urls = Vec::new();
    for api in Api::ALL {
        urls.push((api, serve(&deployment, api).await));
    }
    let url = |api: Api| urls.iter().find(|(other, _)| *other == api).unwrap().1.clone();
    deployment.sandbox.change(|sandbox, _| {
        sandbox.endpoints.azure = url(Api::Azure);
        sandbox.endpoints.tailscale = url(Api::Tailscale);
    });
    let requests = RequestCount::default();
    let transport = Arc::new(ReqwestTransport::with_settings(None, settings).unwrap());
    let token = Arc::new(StaticToken(Secret::new("azure-token")));
    let limits = Limits::unlimited();
    deployment.clients = Clients {
        kubeconfig: KubeconfigSource::Azure,
        azure: Arc::new(
            ArmClient::new(
                transport.clone(),
                &url(Api::Azure),
                token,
                limits.clone(),
                requests.clone(),
            )
            .with_settings(settings),
        ),
        tailnet: Arc::new(
            TailnetClient::new(
                transport,
                &url(Api::Tailscale),
                &deployment.topology.tailnet.name,
                TailnetCredentials::ApiKey(Secret::new("tskey-api-test")),
                limits.clone(),
                requests.clone(),
            )
            .with_settings(settings),
        ),
        cluster: Arc::new(Elsewhere {
            kubeconfig: kubeconfig(&deployment, &url(Api::Kubernetes)),
            connector: KubeconfigConnector {
                limits,
                requests: requests.clone(),
                settings,
                ..KubeconfigConnector::default()
            },
        }),
        hosts: Arc::new(RetryingHosts::new(Arc::new(deployment.sandbox.clone()))),
        requests,
    };
    deployment
}

fn kubeconfig(deployment: &Deployment, url: &str) -> String {
    let token =
        deployment.sandbox.read(|sandbox| sandbox.cluster_access.as_ref().unwrap().token.clone());
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: \
         {{ cluster: c, user: u }}\nclusters:\n- name: c\n  cluster: {{ server: '{url}' }}\n\
         users:\n- name: u\n  user: {{ token: '{token}' }}\n"
    )
}

/// Connects to the proxy instead of the server in Azure's kubeconfig.
#[derive(Debug)]
struct Elsewhere {
    kubeconfig: String,
    connector: KubeconfigConnector,
}

#[async_trait]
impl ClusterConnector for Elsewhere {
    async fn connect(&self, _: &str, owner: Owner) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        self.connector.connect(&self.kubeconfig, owner).await
    }
}

/// Serves one service on a port of its own, with the proxy's faults.
async fn serve(deployment: &Deployment, api: Api) -> String {
    let (sandbox, proxy) = (deployment.sandbox.clone(), deployment.proxy.clone());
    let response = move |request: Request<Incoming>| {
        let (sandbox, proxy) = (sandbox.clone(), proxy.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let mut request = Request::from_parts(parts, body);
            let requested = request.clone();
            let fault = proxy.strike(api);
            if let Some(fault) = fault {
                ask_for_first_page(fault, &mut request);
            }
            let response = match sandbox.handle(api, &request) {
                ApiResponse::Complete(response) => response,
                ApiResponse::Watch(_) => Response::new(Bytes::new()),
            };
            Ok::<_, hyper::Error>(match fault {
                Some(fault) => broken(fault, api, &requested, response, proxy.struck()).await,
                None => response.map(whole),
            })
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(response.clone()));
            tokio::spawn(connection);
        }
    });
    format!("http://{address}")
}

async fn broken(
    fault: Fault,
    api: Api,
    request: &Request<Bytes>,
    response: Response<Bytes>,
    number: u64,
) -> Response<Body> {
    let body = match fault {
        Fault::NoAnswer => std::future::pending().await,
        Fault::Refused | Fault::AnswerLost => breaking_off(Bytes::new()),
        Fault::BodyBreaksOff => breaking_off(response.body().slice(..response.body().len() / 2)),
        Fault::SlowBody => {
            let bytes = stream::iter(response.body().to_vec()).then(|byte| async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                Ok::<_, std::io::Error>(Bytes::from(vec![byte]))
            });
            bytes.boxed()
        }
        Fault::HugeBody => repeated("{\"value\": \"", Bytes::from(vec![b'x'; 1 << 16]), 8_000),
        Fault::ManyTinyValues => {
            repeated("{\"value\": [{}", Bytes::from(",{\"a\":1}".repeat(1 << 16)), 40)
        }
        Fault::GzipBomb => {
            let mut unfolds = Response::new(streamed(gzip_bomb()));
            let gzip = HeaderValue::from_static("gzip");
            unfolds.headers_mut().insert(header::CONTENT_ENCODING, gzip);
            return unfolds;
        }
        _ => return distort(fault, api, request, response, number).map(whole),
    };
    response.map(|_| streamed(body))
}

type Chunks = BoxStream<'static, Result<Bytes, std::io::Error>>;
type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, std::io::Error>;

fn whole(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

fn streamed<E: std::error::Error + Send + Sync + 'static>(
    chunks: impl futures::Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Body {
    let frames = chunks.map(|chunk| chunk.map(Frame::data).map_err(std::io::Error::other));
    StreamBody::new(frames).boxed_unsync()
}

fn breaking_off(body: Bytes) -> Chunks {
    let end = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    stream::iter([Ok(body), Err(end)]).boxed()
}

fn repeated(first: &'static str, chunk: Bytes, times: usize) -> Chunks {
    let first = stream::once(async move { Ok(Bytes::from(first)) });
    first.chain(stream::iter(std::iter::repeat_n(chunk, times)).map(Ok)).boxed()
}

/// Two gigabytes of zeros, as gzip: one literal, then copies of 258 bytes from
/// a byte before, each of 13 bits in the fixed code. Eight of them fill 13
/// bytes, which repeat.
fn gzip_bomb() -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut bits = Bits::default();
    // The last block, fixed codes (read from the lowest bit on); a literal 0.
    bits.push(0b1, 1);
    bits.push(0b01, 2);
    bits.push_code(0b0011_0000, 8);
    // The copies begin at a bit that is not a byte's first: 11 bits stand before.
    let mut copies = bits.clone();
    let count = 8 * 20_000;
    for _ in 0..count {
        copies.push_code(0b1100_0101, 8);
        copies.push_code(0, 5);
    }
    let whole = copies.bytes;
    let pattern = Bytes::from(whole[13..13 + 13 * 10_000].to_vec());
    let start = Bytes::from([&header[..], &whole[..13]].concat());
    let times = (2 << 30) / (258 * 8 * 10_000) + 1;
    let rest = std::iter::repeat_n(pattern, times);
    stream::iter(std::iter::once(start).chain(rest)).map(Ok)
}

#[derive(Clone, Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for place in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= (((value >> place) & 1) as u8) << self.used;
            self.used = (self.used + 1) % 8;
        }
    }

    /// Codes are packed from their highest bit on.
    fn push_code(&mut self, code: u32, count: u32) {
        for place in (0..count).rev() {
            self.push((code >> place) & 1, 1);
        }
    }
}

/// A plan with a fault on the wire; returns the violations in its outcome.
async fn plan_with(api: Api, fault: Fault, destroying: bool) -> Vec<String> {
    let deployment = behind_sockets(a_second()).await;
    let before = deployment.objects();
    deployment.proxy.arm(api, fault);
    let start = Instant::now();
    let plan = deployment.plan(destroying).await.plan;
    let took = start.elapsed();
    let mut wrong = Vec::new();
    let mut check = |holds: bool, what: String| {
        wrong.extend((!holds).then(|| format!("{api} {fault:?}: {what}")));
    };
    check(took < Duration::from_secs(30), format!("it took {took:?}"));
    check(deployment.proxy.struck() > 0, "nothing was broken".to_owned());
    check(plan.status() == PlanStatus::Unknown, format!("it is {:?}", plan.status()));
    check(destroying || removals(&plan).is_empty(), format!("it removes {:?}", removals(&plan)));
    check(deployment.objects() == before, "something changed".to_owned());
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_end_for_every_network_fault() {
    let in_memory = Fault::IN_MEMORY.into_iter().filter(|_| crate::everything());
    let kinds = Fault::ON_THE_WIRE.into_iter().chain([Fault::NoAnswer]).chain(in_memory);
    let cases = kinds.flat_map(|fault| {
        let apis = Api::ALL.into_iter().filter(move |api| fault.applies_to(*api));
        apis.map(move |api| (api, fault))
    });
    let plans = stream::iter(cases).map(|(api, fault)| plan_with(api, fault, false));
    let wrong: Vec<String> = plans.buffer_unordered(3).concat().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Deletions in the cluster are waited for up to five minutes, in each of the
/// ten rounds that an apply may take.
const MAX_APPLY_TIME: Duration = Duration::from_secs(1_200);

/// Applies and destroys with one service broken once the plan is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_end_for_every_network_fault() {
    if !crate::everything() {
        return;
    }
    // The others need no socket, and are taken in virtual time.
    let kinds = Fault::ON_THE_WIRE.into_iter().chain([Fault::NoAnswer]);
    let cases = kinds.flat_map(|fault| {
        Api::ALL.into_iter().flat_map(move |api| [(api, fault, false), (api, fault, true)])
    });
    let runs = stream::iter(cases).map(|(api, fault, destroying)| async move {
        let deployment = behind_sockets(a_second()).await;
        let before = deployment.objects();
        let planned = deployment.plan(destroying).await;
        deployment.proxy.arm(api, fault);
        let run = deployment.apply(destroying, planned);
        let ended = tokio::time::timeout(MAX_APPLY_TIME, run).await;
        let case = format!("{api} {fault:?}, destroying: {destroying}");
        let Ok(applied) = ended else { return vec![format!("{case}: it does not end")] };
        let removed = before.difference(&deployment.objects()).count();
        if !destroying && removed > 0 {
            return vec![format!("{case}: {removed} objects are gone, {:?}", applied.status)];
        }
        Vec::new()
    });
    let wrong: Vec<String> = runs.buffer_unordered(12).concat().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The decompressed body is valid: the limit ends it, not an error.
#[tokio::test]
async fn the_bomb_is_a_valid_one() {
    // Without optimisation it unfolds slowly.
    let settings = ClientSettings { attempt_timeout: CALL_TIMEOUT, ..ClientSettings::default() };
    let deployment = behind_sockets(settings).await;
    deployment.proxy.arm(Api::Azure, Fault::GzipBomb);
    let plan = deployment.plan(false).await.plan;
    let reasons: Vec<&str> = plan.gaps.iter().map(|gap| gap.failure.message.as_str()).collect();
    assert!(reasons.iter().any(|reason| reason.contains("larger than 24 MiB")), "{reasons:?}");
}
