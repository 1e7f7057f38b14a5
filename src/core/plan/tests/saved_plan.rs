//! A plan in a file.

use std::collections::BTreeSet;

use serde_json::Value;

use super::case::{
    Case, address, created_by, device, interface, machine, nothing_special, table, table_after,
};
use crate::diagnostics::Code;
use crate::inventory::Source;
use crate::plan::Plan;
use crate::plan::saved_plan::{
    Expected, FORMAT_VERSION, Permissions, PlanFileError, PlanKey, SavedPlan,
};
use crate::resource::Ownership;
use crate::topology::names::TopologyName;

const EXPECTED: Expected<'_> =
    Expected { stargate_version: "1.2.3", topology: "lab", topology_digest: "digest", key: None };

/// A plan with something of everything.
fn plan() -> Plan {
    let machine_name = "virtual-machine/dc/router";
    Case::default()
        .keeps(machine_name, machine("small", "network-interface/dc/nic"), nothing_special)
        .wants("tailnet-device/dc/router", device(true), created_by(machine_name))
        .wants("network-interface/dc/nic", interface(5), nothing_special)
        .has("network-interface/dc/nic", interface(4))
        .wants("network-interface/dc/b", interface(4), nothing_special)
        .has("route-table/dc/gone", table("10.0.0.0/8"))
        .wants("route-table/dc/later", table_after("managed-cluster/cluster/lab"), nothing_special)
        .wants("route-table/dc/theirs", table("10.0.0.0/8"), nothing_special)
        .has_with("route-table/dc/theirs", table("10.0.0.0/8"), Ownership::Foreign)
        .without(Source::Kubernetes)
        .plan()
}

fn permissions() -> Permissions {
    Permissions {
        adopt: BTreeSet::from([address("route-table/dc/theirs")]),
        adopt_from: Some(TopologyName::new("old")),
        replace: BTreeSet::from([address("subnet/dc/subnet")]),
    }
}

fn saved() -> SavedPlan {
    SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: "1.2.3".to_owned(),
        topology_digest: "digest".to_owned(),
        permissions: permissions(),
        plan: plan(),
    }
}

fn refusal(text: &str, expected: Expected<'_>) -> Code {
    SavedPlan::from_text(text, expected).unwrap_err().code()
}

#[test]
fn a_saved_plan_reads_back_as_it_was_written() {
    let mut saved = saved();
    // A datacenter's tables are hidden; the rest is of every sort.
    assert!(!saved.plan.changes.is_empty() && !saved.plan.gaps.is_empty());
    assert_eq!(SavedPlan::from_text(&saved.to_text(None).unwrap(), EXPECTED), Ok(saved.clone()));
    saved.plan = Case::default().plan();
    assert_eq!(SavedPlan::from_text(&saved.to_text(None).unwrap(), EXPECTED), Ok(saved));
}

#[test]
fn a_truncated_file_is_detected_at_every_length() {
    let text = saved().to_text(None).unwrap();
    for end in (0..text.trim_end().len()).step_by(97) {
        assert_eq!(refusal(&text[..end], EXPECTED), Code::PlanTruncated, "at {end}");
    }
}

#[test]
fn an_edited_file_is_detected() {
    let text = saved().to_text(None).unwrap();
    for (from, to) in [("small", "large"), ("subnet/dc/subnet", "subnet/dc/another")] {
        assert!(text.contains(from), "{from}");
        assert_eq!(refusal(&text.replacen(from, to, 1), EXPECTED), Code::PlanTruncated);
    }
    assert_eq!(refusal("{}", EXPECTED), Code::PlanTruncated);
    assert_eq!(refusal("[]", EXPECTED), Code::PlanTruncated);
}

#[test]
fn white_space_is_not_an_edit() {
    let saved = saved();
    let value: Value = serde_json::from_str(&saved.to_text(None).unwrap()).unwrap();
    assert_eq!(SavedPlan::from_text(&value.to_string(), EXPECTED), Ok(saved));
}

#[test]
fn the_plan_of_another_version_is_refused_with_both_versions() {
    let newer = Expected { stargate_version: "1.2.4", ..EXPECTED };
    let error = SavedPlan::from_text(&saved().to_text(None).unwrap(), newer).unwrap_err();
    assert_eq!(error.code(), Code::PlanVersion);
    let text = error.to_string();
    assert!(text.contains("1.2.3") && text.contains("1.2.4"), "{text}");
    let format = SavedPlan { format_version: FORMAT_VERSION + 1, ..saved() };
    assert_eq!(refusal(&format.to_text(None).unwrap(), EXPECTED), Code::PlanVersion);
}

#[test]
fn the_plan_of_another_topology_or_of_an_older_state_is_refused() {
    let text = saved().to_text(None).unwrap();
    assert_eq!(refusal(&text, Expected { topology: "other", ..EXPECTED }), Code::PlanTopology);
    let changed = SavedPlan::from_text(&text, Expected { topology_digest: "new", ..EXPECTED });
    let Err(PlanFileError::OtherTopology(reason)) = changed else { panic!("{changed:?}") };
    assert!(reason.contains("changed since"), "{reason}");
}

#[test]
fn with_a_key_only_plans_signed_with_it_are_accepted() {
    let (key, other) = (PlanKey::new(&[1; 32]).unwrap(), PlanKey::new(&[2; 32]).unwrap());
    let saved = saved();
    let signed = saved.to_text(Some(&key)).unwrap();
    let expected = Expected { key: Some(&key), ..EXPECTED };
    assert_eq!(SavedPlan::from_text(&signed, expected), Ok(saved.clone()));
    // Without a key the signature is not verified.
    assert_eq!(SavedPlan::from_text(&signed, EXPECTED), Ok(saved.clone()));
    for text in [saved.to_text(None).unwrap(), saved.to_text(Some(&other)).unwrap()] {
        assert_eq!(refusal(&text, expected), Code::PlanSignature);
    }
    // The signature of another plan of the same key.
    let another = SavedPlan { permissions: Permissions::default(), ..saved };
    let another: Value = serde_json::from_str(&another.to_text(Some(&key)).unwrap()).unwrap();
    let mut forged: Value = serde_json::from_str(&signed).unwrap();
    forged["signature"] = another["signature"].clone();
    assert_eq!(refusal(&forged.to_string(), expected), Code::PlanSignature);
}
