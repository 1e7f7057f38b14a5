//! Ways of packets, as people and machines read them.

use serde_json::Value;

use super::place::{Place, Ran, too_wide};

const WORKER: &str = "pod/stargate-aks-e2e-2-worker-1";

/// Names and addresses that differ from world to world.
fn steady(text: &str) -> String {
    let number = regex::Regex::new("-[0-9]{8}").expect("a pattern");
    let tailnet = regex::Regex::new(r"100\.[0-9]+\.[0-9]+\.[0-9]+").expect("a pattern");
    let age = regex::Regex::new(r"read [0-9.]+ s ago").expect("a pattern");
    let text = number.replace_all(text, "-00000000");
    let text = tailnet.replace_all(&text, "100.x.y.z");
    age.replace_all(&text, "read 0.0 s ago").into_owned()
}

fn json(ran: &Ran) -> Value {
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(value["format_version"], "1.0");
    value
}

#[test]
fn a_way_there_and_back() {
    let place = Place::applied();
    let ran = place.run(&format!("trace --sandbox {WORKER} 10.244.1.10")).exits(0);
    assert_eq!(too_wide(&ran.out), Vec::<&str>::new());
    insta::assert_snapshot!("trace", steady(&ran.out));
    let json = json(&place.run(&format!("trace --sandbox {WORKER} 10.224.0.4 --format json")));
    assert_eq!(json["outcome"], "reached");
    assert_eq!(json["mtu"], 1_280);
    assert!(json["there"]["hops"].as_array().expect("hops").len() > 8);
}

#[test]
fn a_drop_with_its_mend() {
    let place = Place::applied();
    place.run("sandbox break router-table-detached").exits(0);
    place.run("sandbox break cilium-node-empty").exits(0);
    let line = format!("trace --sandbox {WORKER} 10.244.1.10");
    let ran = place.run(&line).exits(2);
    insta::assert_snapshot!("trace_of_a_drop", steady(&ran.out));
    let json = json(&place.run(&format!("{line} --format json")).exits(2));
    let mending = &json["mending_resources"];
    assert_eq!(mending[0], "subnet/cluster/stargate-aks-router-subnet");
    let planned = place.run(&format!("{line} --planned")).exits(0);
    assert!(planned.out.contains("as it is after the plan"), "{}", planned.out);
    assert!(!planned.out.contains("warning"), "{}", planned.out);
    place.run("apply --sandbox --yes").exits(0);
    place.run(&line).exits(0);
}

#[test]
fn what_cannot_be_followed_is_told() {
    let place = Place::applied();
    let service = place.run(&format!("trace --sandbox {WORKER} 10.0.0.10")).exits(1);
    assert!(service.err.contains("address of a service"), "{}", service.err);
    let nobody = place.run("trace --sandbox nobody 10.244.1.10").exits(1);
    assert!(nobody.err.contains("stargate-aks-e2e-2-worker-2"), "{}", nobody.err);
    place.run("sandbox break source-down tailscale").exits(0);
    let unknown = place.run(&format!("trace --sandbox {WORKER} 10.244.1.10")).exits(1);
    assert!(unknown.out.contains("could not be read"), "{}", unknown.out);
}

#[test]
fn a_check_of_a_healthy_and_of_a_broken_world() {
    let place = Place::applied();
    let healthy = place.run("check --sandbox").exits(0);
    assert!(healthy.out.ends_with("24 pairs: 24 reached, 0 dropped, 0 unknown.\n"));
    place.run("sandbox break nsg-deny").exits(0);
    place.run("sandbox break mss-clamp-missing").exits(0);
    let broken = place.run("check --sandbox").exits(2);
    assert_eq!(too_wide(&broken.out), Vec::<&str>::new());
    insta::assert_snapshot!("check", steady(&broken.out));
    let json = json(&place.run("check --sandbox --format json").exits(2));
    assert_eq!((&json["health"], &json["dropped"]), (&"broken".into(), &8.into()));
    assert_eq!(json["broken"].as_array().expect("a list").len(), 1);
}
