//! Goldpinger's answer to `/check_all`, in the words of its version 3.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fabric::Fabric;
use super::forward::Pod;
use crate::sandbox::controllers::cluster::{label, name, seconds};
use crate::sandbox::dispatch::json_answer;
use crate::sandbox::kubernetes::Proxied;
use crate::sandbox::world::World;

const APP: &str = "goldpinger";
const PORT: u16 = 8_080;

/// A pod of Goldpinger's.
struct Pinger<'a> {
    name: &'a str,
    host: &'a str,
    pod: Pod<'a>,
}

/// Answers what the API server passes on to a pod.
pub(in crate::sandbox) fn answer(
    world: &World,
    asked: &Proxied,
    now: Timestamp,
) -> Response<Bytes> {
    let pingers = pingers(world, &asked.namespace);
    let Some(own) = pingers.iter().find(|pinger| pinger.name == asked.pod) else {
        return failure(StatusCode::SERVICE_UNAVAILABLE, "no endpoints available");
    };
    if asked.port != PORT {
        let text = "error trying to reach service: dial tcp: connection refused";
        return failure(StatusCode::BAD_GATEWAY, text);
    }
    let fabric = Fabric::of(world, now);
    let time = seconds(now);
    if !tunnelled(&fabric, own.pod) {
        let text = "error trying to reach service: dial tcp: i/o timeout";
        return failure(StatusCode::SERVICE_UNAVAILABLE, text);
    }
    match asked.path.as_str() {
        "/check_all" => json_answer(StatusCode::OK, &check_all(&fabric, own, &pingers, &time)),
        "/check" => json_answer(StatusCode::OK, &check(&fabric, own, &pingers, &time)),
        "/healthz" => json_answer(StatusCode::OK, &json!({ "OK": true, "generated-at": time })),
        _ => failure(StatusCode::NOT_FOUND, "path was not found"),
    }
}

/// The API server reaches pods through agents of its own on AKS's nodes.
fn tunnelled(fabric: &Fabric<'_>, pod: Pod<'_>) -> bool {
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
    json_answer(status, &body)
}

fn pingers<'a>(world: &'a World, namespace: &str) -> Vec<Pinger<'a>> {
    let Some(store) = &world.kubernetes else { return Vec::new() };
    let pods = store.list("v1", "Pod", Some(namespace)).into_iter();
    let own = pods.filter(|pod| label(pod, "app") == Some(APP));
    own.filter_map(|pod| {
        let node = pod.pointer("/spec/nodeName")?.as_str()?;
        let address: Ipv4Addr = pod.pointer("/status/podIP")?.as_str()?.parse().ok()?;
        let host = pod.pointer("/status/hostIP").and_then(Value::as_str).unwrap_or_default();
        Some(Pinger { name: name(pod), host, pod: Pod { node, address } })
    })
    .collect()
}

fn check_all(fabric: &Fabric<'_>, own: &Pinger<'_>, all: &[Pinger<'_>], time: &str) -> Value {
    let mut responses = Map::new();
    for asked in all {
        let mut response = json!({ "HostIP": asked.host, "PodIP": asked.pod.address, "OK": true });
        if fabric.connects(own.pod, asked.pod, PORT) {
            response["response"] = check(fabric, asked, all, time);
        } else {
            response["OK"] = json!(false);
            response["error"] = json!(timed_out(asked.pod.address, "check"));
        }
        responses.insert(asked.name.to_owned(), response);
    }
    let host =
        |it: &Pinger<'_>| json!({ "hostIP": it.host, "podIP": it.pod.address, "podName": it.name });
    json!({ "hosts": all.iter().map(host).collect::<Vec<_>>(), "responses": responses })
}

fn check(fabric: &Fabric<'_>, own: &Pinger<'_>, all: &[Pinger<'_>], time: &str) -> Value {
    let mut results = Map::new();
    for asked in all {
        let mut result = json!({
            "HostIP": asked.host, "PodIP": asked.pod.address, "PingTime": time, "OK": true,
            "response-time-ms": 2, "status-code": 200,
            "response": { "boot_time": time, "received": { "check": 1, "check_all": 1, "ping": 1 } },
        });
        if !fabric.connects(own.pod, asked.pod, PORT) {
            result = json!({
                "HostIP": asked.host, "PodIP": asked.pod.address, "PingTime": time, "OK": false,
                "response-time-ms": 3_000, "status-code": 504,
                "error": timed_out(asked.pod.address, "ping"),
            });
        }
        results.insert(asked.name.to_owned(), result);
    }
    json!({ "podResults": results })
}

fn timed_out(address: Ipv4Addr, path: &str) -> String {
    format!("Get \"http://{address}:{PORT}/{path}\": context deadline exceeded")
}
