//! The table of changes has rows for every field of the schema, and for nothing else.

use std::collections::BTreeSet;

use stargate::topology::changes::{ChangeOutcome, DatacenterKindName, block_rules, field_rules};
use stargate::topology::fields::fields;

/// The kinds of datacenters that have a field; `None` stands for a field of no datacenter.
fn kinds(path: &str) -> Vec<Option<DatacenterKindName>> {
    let own = DatacenterKindName::ALL
        .into_iter()
        .find(|kind| path.starts_with(&format!("datacenters.*.{}.", kind.as_str())));
    match own {
        Some(kind) => vec![Some(kind)],
        None if path.starts_with("datacenters.") => {
            DatacenterKindName::ALL.into_iter().map(Some).collect()
        }
        None => vec![None],
    }
}

#[test]
fn every_field_has_a_row_for_each_kind_of_datacenter() {
    let expected: BTreeSet<(String, Option<DatacenterKindName>)> = fields()
        .into_iter()
        .flat_map(|field| {
            kinds(&field.path).into_iter().map(move |kind| (field.path.clone(), kind))
        })
        .collect();
    let rows: BTreeSet<(String, Option<DatacenterKindName>)> = field_rules()
        .flat_map(|rule| {
            let kinds = rule.kinds.iter().copied().map(Some);
            let kinds: Vec<_> = if rule.kinds.is_empty() { vec![None] } else { kinds.collect() };
            kinds.into_iter().map(|kind| (rule.field.to_owned(), kind))
        })
        .collect();
    let missing: Vec<_> = expected.difference(&rows).collect();
    let unknown: Vec<_> = rows.difference(&expected).collect();
    assert!(missing.is_empty(), "fields without a row in src/topology/changes: {missing:#?}");
    assert!(unknown.is_empty(), "rows of fields that the schema does not have: {unknown:#?}");
}

#[test]
fn every_row_is_one_of_its_kind_and_has_a_source() {
    let mut seen = BTreeSet::new();
    for rule in field_rules().chain(block_rules()) {
        for kind in
            rule.kinds.iter().copied().map(Some).chain(rule.kinds.is_empty().then_some(None))
        {
            assert!(seen.insert((rule.field, kind, rule.change)), "{rule:?} stands twice");
        }
        assert!(!rule.source.is_empty() && !rule.effect.is_empty(), "{rule:?}");
        assert!(!rule.effect.ends_with('.'), "{rule:?}");
        if let ChangeOutcome::Refused(code) = rule.outcome {
            assert!(rule.outcome.words().contains(code.as_str()));
        }
    }
}
