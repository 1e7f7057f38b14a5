//! Goldpinger's response to `/check_all`, in the format of version 3.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fabric::EmulatedFabric;
use super::forward::Pod;
use crate::sandbox::controllers::cluster::{label, name, seconds};
use crate::sandbox::kubernetes::Proxied;
use crate::sandbox::response::json_response;
use crate::sandbox::state::SandboxState;

const APP: &str = "goldpinger";
const PORT: u16 = 8_080;

/// A Goldpinger pod.
struct GoldpingerPod<'a> {
    name: &'a str,
    host: &'a str,
    pod: Pod<'a>,
}

/// Handles a request that the API server proxies to a pod.
pub(in crate::sandbox) fn handle(
    sandbox: &SandboxState,
    requested: &Proxied,
    now: Timestamp,
) -> Response<Bytes> {
    let goldpinger_pods = goldpinger_pods(sandbox, &requested.namespace);
    let Some(own) = goldpinger_pods.iter().find(|pinger| pinger.name == requested.pod) else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "no endpoints available");
    };
    if requested.port != PORT {
        let text = "error trying to reach service: dial tcp: connection refused";
        return failure(StatusCode::BAD_GATEWAY, text);
    }
    let fabric = EmulatedFabric::of(sandbox, now);
    let time = seconds(now);
    if !reachable_by_tunnel(&fabric, own.pod) {
        let text = "error trying to reach service: dial tcp: i/o timeout";
        return failure(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    match requested.path.as_str() {
        "/check_all" => {
            json_response(StatusCode::OK, &check_all(&fabric, own, &goldpinger_pods, &time))
        }
        "/check" => json_response(StatusCode::OK, &check(&fabric, own, &goldpinger_pods, &time)),
        "/healthz" => json_response(StatusCode::OK, &json!({ "OK": true, "generated-at": time })),
        _ => failure(StatusCode::NOT_FOUND, "path was not found"),
    }
}

/// The API server reaches pods through its own agents on AKS's nodes.
fn reachable_by_tunnel(fabric: &EmulatedFabric<'_>, pod: Pod<'_>) -> bool {
    fabric.aks.iter().any(|(name, node)| {
        let agent = node.pods.map(|range| Pod { node: name, address: range.broadcast() });
        agent.is_some_and(|agent| fabric.connects(agent, pod, PORT))
    })
}

fn failure(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "ServiceUnavailable", "code": status.as_u16(),
    });
    json_response(status, &body)
}

fn goldpinger_pods<'a>(sandbox: &'a SandboxState, namespace: &str) -> Vec<GoldpingerPod<'a>> {
    let Some(store) = &sandbox.kubernetes else { return Vec::new() };
    let pods = store.list("v1", "Pod", Some(namespace)).into_iter();
    let own = pods.filter(|pod| label(pod, "app") == Some(APP));
    own.filter_map(|pod| {
        let node = pod.pointer("/spec/nodeName")?.as_str()?;
        let address: Ipv4Addr = pod.pointer("/status/podIP")?.as_str()?.parse().ok()?;
        let host = pod.pointer("/status/hostIP").and_then(Value::as_str).unwrap_or_default();
        Some(GoldpingerPod { name: name(pod), host, pod: Pod { node, address } })
    })
    .collect()
}

fn check_all(
    fabric: &EmulatedFabric<'_>,
    own: &GoldpingerPod<'_>,
    all: &[GoldpingerPod<'_>],
    time: &str,
) -> Value {
    let mut responses = Map::new();
    for requested in all {
        let mut response =
            json!({ "HostIP": requested.host, "PodIP": requested.pod.address, "OK": true });
        if fabric.connects(own.pod, requested.pod, PORT) {
            response["response"] = check(fabric, requested, all, time);
        } else {
            response["OK"] = json!(false);
            response["error"] = json!(timed_out(requested.pod.address, "check"));
        }
        responses.insert(requested.name.to_owned(), response);
    }
    let host = |it: &GoldpingerPod<'_>| json!({ "hostIP": it.host, "podIP": it.pod.address, "podName": it.name });
    json!({ "hosts": all.iter().map(host).collect::<Vec<_>>(), "responses": responses })
}

fn check(
    fabric: &EmulatedFabric<'_>,
    own: &GoldpingerPod<'_>,
    all: &[GoldpingerPod<'_>],
    time: &str,
) -> Value {
    let mut results = Map::new();
    for requested in all {
        let mut result = json!({
            "HostIP": requested.host, "PodIP": requested.pod.address, "PingTime": time, "OK": true,
            "response-time-ms": 2, "status-code": 200,
            "response": { "boot_time": time, "received": { "check": 1, "check_all": 1, "ping": 1 } },
        });
        if !fabric.connects(own.pod, requested.pod, PORT) {
            result = json!({
                "HostIP": requested.host, "PodIP": requested.pod.address, "PingTime": time, "OK": false,
                "response-time-ms": 3_000, "status-code": 504,
                "error": timed_out(requested.pod.address, "ping"),
            });
        }
        results.insert(requested.name.to_owned(), result);
    }
    json!({ "podResults": results })
}

fn timed_out(address: Ipv4Addr, path: &str) -> String {
    format!("Get \"http://{address}:{PORT}/{path}\": context deadline exceeded")
}
