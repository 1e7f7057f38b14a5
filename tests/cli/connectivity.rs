//! `trace`, `check`, `drift` and `status`: reachability as text and JSON.

use serde_json::Value;

use super::location::{Ran, TestFolder, too_wide};

const WORKER: &str = "pod/stargate-aks-e2e-2-worker-1";

/// Masks names, addresses and times that differ between runs.
fn mask(text: &str) -> String {
    let number = regex::Regex::new("-[0-9]{8}").expect("a pattern");
    let tailnet = regex::Regex::new(r"100\.[0-9]+\.[0-9]+\.[0-9]+").expect("a pattern");
    let age = regex::Regex::new(r"[0-9]+\.[0-9] s ago").expect("a pattern");
    let ping = regex::Regex::new(r"is [0-9.]+ s old").expect("a pattern");
    let text = ping.replace_all(text, "is 0.0 s old");
    let text = text.as_ref();
    let text = number.replace_all(text, "-00000000");
    let text = tailnet.replace_all(&text, "100.x.y.z");
    age.replace_all(&text, "0.0 s ago").into_owned()
}

fn json(ran: &Ran) -> Value {
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    let version = value["format_version"].as_str();
    // `drift` has the format of plans.
    assert!(matches!(version, Some("2.0" | "2.1")), "{version:?}");
    value
}

#[test]
fn a_trace_forward_and_return() {
    let location = TestFolder::applied();
    let ran = location.run(&format!("trace --sandbox {WORKER} 10.244.1.10")).exits(0);
    assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    insta::assert_snapshot!("trace", mask(&ran.out));
    let json = json(&location.run(&format!("trace --sandbox {WORKER} 10.224.0.4 --format json")));
    assert_eq!(json["outcome"], "reached");
    assert_eq!(json["path_mtu"], 1_280);
    assert!(json["forward"]["hops"].as_array().expect("hops").len() > 8);
}

#[test]
fn a_drop_and_its_remedy() {
    let location = TestFolder::applied();
    location.run("sandbox break router-table-detached").exits(0);
    location.run("sandbox break cilium-node-empty").exits(0);
    let line = format!("trace --sandbox {WORKER} 10.244.1.10");
    let ran = location.run(&line).exits(2);
    insta::assert_snapshot!("trace_of_a_drop", mask(&ran.out));
    let json = json(&location.run(&format!("{line} --format json")).exits(2));
    assert_eq!(json["forward"]["delivered"], false);
    assert!(json["return"].is_null());
    assert_eq!(json["remedy_resources"][0], "subnet/cluster/stargate-aks-router-subnet");
    let planned = location.run(&format!("{line} --planned")).exits(0);
    assert!(planned.out.contains(", after the plan"), "{}", planned.out);
    assert!(!planned.out.contains("warning"), "{}", planned.out);
    location.run("apply --sandbox --yes").exits(0);
    location.run(&line).exits(0);
}

/// Two nodes have the same pod CIDR: a pod of one of them is not reached by its address.
#[test]
fn a_packet_to_a_pod_must_reach_its_node() {
    let location = TestFolder::applied();
    location.run("sandbox break aks-pod-cidr-collision").exits(0);
    let known = location.run(&format!("trace --sandbox {WORKER} unknown")).exits(64).err;
    let node = known.split([' ', ',']).find(|word| word.starts_with("aks-")).expect("a node");
    let line = format!("trace --sandbox pod/stargate-aks-e2e-2-worker-2 pod/{node}");
    let text = location.run(&line).exits(2).out;
    assert!(text.contains("delivered to the wrong host"), "{text}");
}

#[test]
fn traces_that_cannot_be_followed_are_errors() {
    let location = TestFolder::applied();
    let unknown = location.run("trace --sandbox worker-9 10.244.1.10").exits(64);
    assert!(unknown.err.contains("stargate-aks-e2e-2-worker-2"), "{}", unknown.err);
    location.run("sandbox break source-down tailscale").exits(0);
    let unknown = location.run(&format!("trace --sandbox {WORKER} 10.244.1.10")).exits(1);
    assert!(unknown.out.contains("could not be read"), "{}", unknown.out);
    // It may be one of the devices that could not be read.
    location.run("trace --sandbox worker-9 10.244.1.10").exits(1);
}

#[test]
fn a_check_that_passes_and_one_that_fails() {
    let location = TestFolder::applied();
    let healthy = location.run("check --sandbox").exits(0);
    assert!(healthy.out.ends_with("12 pairs: 12 reached, 0 dropped, 0 unknown.\n"));
    location.run("sandbox break nsg-deny").exits(0);
    location.run("sandbox break mss-clamp-missing").exits(0);
    let broken = location.run("check --sandbox").exits(2);
    assert_eq!(too_wide(&broken.out), Vec::<&str>::new());
    insta::assert_snapshot!("check", mask(&broken.out));
    let json = json(&location.run("check --sandbox --format json").exits(2));
    assert_eq!((&json["status"], &json["dropped"]), (&"failed".into(), &4.into()));
    assert_eq!(json["nodes"]["dropped"], 4);
    assert_eq!(json["problems"].as_array().expect("a list").len(), 1);
    assert_eq!(json["problems"][0]["direction"], "forward");
    assert_eq!(json["violations"][0]["rule"], "mss-clamped");
}

#[test]
fn drift_and_status_show_the_current_reachability() {
    let location = TestFolder::applied();
    let well = location.run("status --sandbox").exits(0);
    assert!(well.out.ends_with("\nReachability: all 12 pairs reached\n"), "{}", well.out);
    let none = location.run("drift --sandbox").exits(0);
    assert!(none.out.starts_with("Reachability: all 12 pairs reached\n"), "{}", none.out);
    location.run("sandbox break nsg-deny").exits(0);
    location.run("sandbox break route-missing").exits(0);
    let drift = location.run("drift --sandbox").exits(2);
    let status = location.run("status --sandbox").exits(0);
    for ran in [&drift, &status] {
        assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    }
    insta::assert_snapshot!("drift_with_dropped_pairs", mask(&drift.out));
    insta::assert_snapshot!("status_with_dropped_pairs", mask(&status.out));
    let drift = json(&location.run("drift --sandbox --format json").exits(2));
    let status = json(&location.run("status --sandbox --format json").exits(0));
    for found in [&drift["current_reachability"], &status["reachability"]] {
        let (reached, dropped) = (&found["reached"], &found["dropped"]);
        assert_eq!(reached.as_u64().zip(dropped.as_u64()).map(|(one, two)| one + two), Some(12));
        for one in found["problems"].as_array().expect("a list") {
            assert!(one["resources"][0].is_string() && one["remedy"].is_string(), "{one}");
        }
    }
    let comment = location.run("drift --sandbox --format markdown").exits(2).out;
    assert!(comment.contains("of 12 pairs of nodes dropped\n\n```text\ndropped: "), "{comment}");
}

#[test]
fn a_check_against_measurements() {
    let location = TestFolder::applied();
    let healthy = location.run("check --sandbox --live").exits(0);
    assert_eq!(too_wide(&healthy.out), Vec::<&str>::new());
    insta::assert_snapshot!("live_check", mask(&healthy.out));
    let said = json(&location.run("check --sandbox --live --format json").exits(0));
    assert_eq!((&said["status"], &said["live"]["reached"]), (&"passed".into(), &16.into()));
    location.run("sandbox break worker-firewall").exits(0);
    let broken = location.run("check --sandbox --live").exits(2);
    assert_eq!(too_wide(&broken.out), Vec::<&str>::new());
    insta::assert_snapshot!("live_check_with_mismatches", mask(&broken.out));
    let said = json(&location.run("check --sandbox --live --format json").exits(2));
    let mismatches = said["live"]["mismatches"].as_array().expect("a list");
    assert_eq!(mismatches.len(), 2, "{said:#}");
    assert_eq!(mismatches[0]["measured"], "timed out");
    assert_eq!(mismatches[0]["expected"], "reached");
    assert_eq!(said["live"]["unresponsive_pods"].as_array().expect("a list").len(), 1, "{said:#}");
    // Without --live nothing is measured.
    let model = json(&location.run("check --sandbox --format json").exits(0));
    assert!(model.get("live").is_none());
}

#[test]
fn measurements_that_are_not_available() {
    let location = TestFolder::applied();
    let ran = location.run("check --sandbox --live --namespace kube-system").exits(1);
    assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    insta::assert_snapshot!("live_check_without_goldpinger", mask(&ran.out));
    let said = json(
        &location.run("check --sandbox --live --namespace kube-system --format json").exits(1),
    );
    assert_eq!(said["live"]["error"]["code"], "SG0613");
    location.run("check --sandbox --namespace goldpinger").exits(64);
    location.run("sandbox break source-down kubernetes").exits(0);
    let ran = location.run("check --sandbox --live").exits(1);
    assert!(ran.out.contains("error[SG0409]"), "{}", ran.out);
}

#[test]
fn a_trace_to_a_service_goes_to_its_endpoints() {
    let location = TestFolder::applied();
    let line = format!("trace --sandbox {WORKER} 10.0.0.10 --protocol udp");
    let ran = location.run(&line).exits(0);
    assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    insta::assert_snapshot!("trace_to_a_service", mask(&ran.out));
    let said = json(&location.run(&format!("{line} --format json")).exits(0));
    assert_eq!(said["service"]["name"], "kube-dns");
    assert_eq!((&said["eligible_endpoints"], &said["reached_endpoints"]), (&2.into(), &2.into()));
    let first = &said["endpoints"][0]["trace"];
    assert_eq!((&first["outcome"], &first["protocol"]), (&"reached".into(), &"UDP port 53".into()));
    // Each fault withdraws one more prefix: the node subnet, then the pod CIDR of one
    // node. One endpoint of two remains reachable.
    for _ in 0..2 {
        let fault = "sandbox break tailnet-route-unapproved stargate-aks-e2e-2-router";
        location.run(fault).exits(0);
    }
    let ran = location.run(&line).exits(2);
    assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    insta::assert_snapshot!("trace_to_a_service_in_part", mask(&ran.out));
    let said = json(&location.run(&format!("{line} --format json")).exits(2));
    assert_eq!((&said["outcome"], &said["reached_endpoints"]), (&"dropped".into(), &1.into()));
    let planned = location.run(&format!("{line} --planned")).exits(0);
    assert!(planned.out.contains(", after the plan"), "{}", planned.out);
}

#[test]
fn services_that_cannot_be_traced_are_errors() {
    let location = TestFolder::applied();
    let trace = |rest: &str| location.run(&format!("trace --sandbox {rest}"));
    let api = trace(&format!("{WORKER} 10.0.0.1")).exits(1);
    assert_eq!(too_wide(&api.out), Vec::<&str>::new());
    let words = api.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the API server, which is outside the pod network"), "{words}");
    for (rest, expected, code) in [
        (format!("{WORKER} 10.0.99.99"), "no service has it", 2),
        (format!("{WORKER} 10.0.0.10 --protocol icmp"), "does not answer ICMP", 1),
        (format!("{WORKER} 10.0.0.10 --port 8080"), "has no such port", 1),
        ("stargate-aks-e2e-2-dc-router 10.0.0.10".to_owned(), "is not such a node", 1),
    ] {
        let ran = trace(&rest).exits(code);
        let said = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(expected) && said.contains("help: "), "{rest}: {said}");
        assert_eq!(ran.out, "");
    }
    location.run("sandbox break source-down kubernetes").exits(0);
    trace(&format!("{WORKER} 10.0.0.10")).fails(1, "SG0616", "could not be read");
}
