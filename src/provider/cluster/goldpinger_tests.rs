//! Responses of Goldpinger, and of servers that are not Goldpinger.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;

use super::*;
use crate::provider::http::RequestCount;
use crate::resource::Owner;
use crate::resource::names::{TailnetTag, TopologyName};

fn pods() -> Vec<GoldpingerPod> {
    let pod = |name: &str, node: &str, address: &str| GoldpingerPod {
        namespace: "goldpinger".to_owned(),
        name: name.to_owned(),
        node: node.to_owned(),
        address: address.parse().ok(),
        port: 8_080,
        ready: true,
    };
    vec![pod("goldpinger-a", "one", "10.244.0.5"), pod("goldpinger-b", "two", "10.244.65.3")]
}

/// A client whose cluster gives the same response to every request.
fn cluster_client(status: u16, body: impl Into<Bytes>) -> ClusterClient {
    let body = body.into();
    let service = tower::service_fn(move |_: Request<Body>| {
        let response = Response::builder().status(status).body(Full::new(body.clone()));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let owner = Owner::new(TopologyName::new("demo"), TailnetTag::new("tag:stargate-demo"));
    ClusterClient::new(kube::Client::new(service, "default"), owner, RequestCount::default())
}

async fn ask(status: u16, body: impl Into<Bytes>) -> Result<Measurement, MeasureError> {
    cluster_client(status, body).check_all(&pods()[0], &pods()).await
}

fn pair(from: &str, to: &str) -> (Ipv4Addr, Ipv4Addr) {
    (from.parse().unwrap(), to.parse().unwrap())
}

/// A response of version 3.7, shortened: a pod that responded may not have reached the
/// others.
fn response() -> Value {
    let ping = |ip: &str, ok: bool, error: &str| {
        let mut ping = json!({
            "HostIP": "10.224.0.4", "OK": ok, "PingTime": "2026-01-02T03:04:05.000Z", "PodIP": ip,
            "response-time-ms": 3, "status-code": if ok { 200 } else { 504 },
        });
        if ok {
            ping["response"] = json!({
                "boot_time": "2026-01-02T03:00:00.000Z",
                "received": { "check": 1, "check_all": 2, "ping": 3 },
            });
        } else {
            ping["error"] = json!(error);
        }
        ping
    };
    let timeout = "Get \"http://10.244.65.3:8080/ping\": context deadline exceeded";
    json!({
        "hosts": [
            { "hostIP": "10.224.0.4", "podIP": "10.244.0.5", "podName": "goldpinger-a" },
            { "hostIP": "10.50.1.5", "podIP": "10.244.65.3", "podName": "goldpinger-b" },
        ],
        "responses": {
            "goldpinger-a": {
                "HostIP": "10.224.0.4", "OK": true, "PodIP": "10.244.0.5",
                "response": { "podResults": {
                    "goldpinger-a": ping("10.244.0.5", true, ""),
                    "goldpinger-b": ping("10.244.65.3", false, timeout),
                }},
            },
            "goldpinger-b": {
                "HostIP": "10.50.1.5", "OK": false, "PodIP": "10.244.65.3",
                "error": "Get \"http://10.244.65.3:8080/check\": context deadline exceeded",
            },
        },
    })
}

#[tokio::test]
async fn every_nested_pair_is_read() {
    let measured = ask(200, response().to_string()).await.unwrap();
    let expected = BTreeMap::from([
        (pair("10.244.0.5", "10.244.0.5"), PingResult::Reached),
        (pair("10.244.0.5", "10.244.65.3"), PingResult::Failed(PingFailure::TimedOut)),
    ]);
    assert_eq!(measured.pings, expected);
    assert_eq!(measured.silent, ["10.244.65.3".parse().unwrap()].into());
    assert_eq!(measured.oldest, "2026-01-02T03:04:05Z".parse().ok());
    assert_eq!((measured.requested.as_str(), measured.port), ("goldpinger-a", 8_080));
}

/// Before version 3 the keys were addresses; a missing OK is a failure.
#[tokio::test]
async fn older_answers_are_read_by_their_keys() {
    let body = json!({ "responses": {
        "10.244.0.5": { "OK": true, "response": { "podResults": {
            "10.244.65.3": { "OK": true }, "goldpinger-a": { "error": "connection refused" },
        }}},
    }});
    let measured = ask(200, body.to_string()).await.unwrap();
    assert_eq!(measured.pings[&pair("10.244.0.5", "10.244.65.3")], PingResult::Reached);
    let refused = PingResult::Failed(PingFailure::Refused);
    assert_eq!(measured.pings[&pair("10.244.0.5", "10.244.0.5")], refused);
    assert_eq!(measured.oldest, None);
}

#[test]
fn network_errors_are_classified() {
    for (error, failure) in [
        ("dial tcp 10.0.0.1:8080: i/o timeout", PingFailure::TimedOut),
        ("dial tcp 10.0.0.1:8080: connect: connection refused", PingFailure::Refused),
        ("read: connection reset by peer", PingFailure::Refused),
        ("dial tcp 10.0.0.1:8080: connect: no route to host", PingFailure::NoRoute),
        ("\u{1b}[31mhacked", PingFailure::Other),
    ] {
        let ping =
            PodResult { ok: false, address: String::new(), time: None, error: error.to_owned() };
        assert_eq!(ping.pinged(), PingResult::Failed(failure), "{error}");
    }
}

#[tokio::test]
async fn hostile_answers_are_refused_and_never_shown() {
    let escape = "\u{1b}]0;owned\u{7}";
    let deep = "[".repeat(60_000);
    for body in [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "<html>".to_owned(),
        escape.to_owned(),
        deep,
        format!("\"{escape}\""),
        json!({ "responses": escape }).to_string(),
        json!({ escape: 1 }).to_string(),
        json!({ "responses": { escape: { "OK": true } } }).to_string(),
        json!({ "responses": { "goldpinger-a": { "OK": escape } } }).to_string(),
        response().to_string()[..300].to_owned(),
    ] {
        let error = ask(200, body.clone()).await.unwrap_err();
        assert!(matches!(error, MeasureError::Malformed { .. }), "{body:.40}: {error:?}");
        let text = error.to_string();
        assert!(!text.contains("owned") && text.chars().all(|it| !it.is_control()), "{text:?}");
        assert!(text.starts_with("the response of goldpinger-a is not in Goldpinger's format: "));
    }
    let huge = vec![b' '; limit(4) + 1];
    let error = ask(200, huge).await.unwrap_err();
    assert_eq!(error, MeasureError::TooLarge { pod: "goldpinger-a".to_owned(), limit: limit(4) });
}

/// Many pods are queried for their own pings: a response for all pairs would be too long.
#[tokio::test]
async fn many_pods_are_asked_one_by_one() {
    let pod = |number: u16| GoldpingerPod {
        name: format!("goldpinger-{number}"),
        address: Some(Ipv4Addr::from(0x0af4_0000 + u32::from(number))),
        ..pods()[0].clone()
    };
    let pods: Vec<GoldpingerPod> = (0..600).map(pod).collect();
    let results: BTreeMap<&str, Value> = pods
        .iter()
        .map(|pod| (pod.name.as_str(), json!({ "OK": true, "PodIP": pod.address })))
        .collect();
    let body = Bytes::from(json!({ "podResults": results }).to_string());
    let service = tower::service_fn(move |request: Request<Body>| {
        let status = match request.uri().path() {
            path if path.ends_with("goldpinger-7:8080/proxy/check") => 503,
            path if path.ends_with("/proxy/check") => 200,
            _ => 404,
        };
        let response = Response::builder().status(status).body(Full::new(body.clone()));
        async move { Ok::<_, Infallible>(response.unwrap()) }
    });
    let client = kube::Client::new(service, "default");
    let client = ClusterClient { client, ..cluster_client(200, "") };
    let measured = client.check_all(&pods[0], &pods).await.unwrap();
    assert_eq!(measured.silent, [pods[7].address.unwrap()].into());
    assert_eq!(measured.pings.len(), 599 * 600);
    // The first one must answer.
    let error = client.check_all(&pods[7], &pods).await.unwrap_err();
    assert!(matches!(error, MeasureError::NoResponse { .. }), "{error}");
}

/// JSON that is short and takes much memory.
#[tokio::test]
async fn an_answer_that_unfolds_in_memory_is_refused() {
    let pods = vec![pods()[0].clone(); MAX_AT_ONCE];
    let body = format!("{{\"responses\":{{\"a\":{{\"x\":[{}0]}}}}}}", "{},".repeat(600_000));
    let error = cluster_client(200, body).check_all(&pods[0], &pods).await.unwrap_err();
    let limit = MAX_DECODED_BYTES;
    assert_eq!(error, MeasureError::TooLarge { pod: "goldpinger-a".to_owned(), limit });
}

#[tokio::test]
async fn distinguishes_refusals_from_timeouts() {
    let refused = ask(403, "\u{1b}[2Jno").await.unwrap_err();
    assert!(matches!(&refused, MeasureError::Refused(error) if error.is_refused()), "{refused:?}");
    assert!(!refused.to_string().contains('\u{1b}'), "{refused}");
    for status in [404, 500, 502, 503] {
        let error = ask(status, "\u{1b}[2Jno").await.unwrap_err();
        let text = format!("goldpinger-a did not answer the API server (status {status})");
        assert_eq!(error.to_string(), text);
    }
}

/// A pod that holds its answer back does not hold us up for ever.
#[tokio::test(start_paused = true)]
async fn an_endless_response_times_out() {
    let service = tower::service_fn(|_: Request<Body>| async {
        std::future::pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let client = kube::Client::new(service, "default");
    let client = ClusterClient { client, ..cluster_client(200, "") };
    let error = client.check_all(&pods()[0], &pods()).await.unwrap_err();
    assert_eq!(error.to_string(), "goldpinger-a did not answer the API server (it took too long)");
}

#[tokio::test]
async fn pod_names_are_sanitised_for_paths() {
    let list = json!({ "metadata": {}, "items": [{
        "metadata": { "name": "goldpinger-x/../../secrets", "namespace": "gold\u{1b}pinger" },
        "spec": { "nodeName": "one", "containers": [{ "ports": [{ "containerPort": 80 }] }] },
        "status": { "podIP": "fd00::1", "conditions": [{ "type": "Ready", "status": "True" }] },
    }]});
    let pods = cluster_client(200, list.to_string()).pingers(None).await.unwrap();
    let expected = GoldpingerPod {
        // The control character is an escape already when it gets here.
        namespace: "goldu1bpinger".to_owned(),
        name: "goldpinger-x....secrets".to_owned(),
        node: "one".to_owned(),
        address: None,
        port: 80,
        ready: true,
    };
    assert_eq!(pods, [expected]);
}
