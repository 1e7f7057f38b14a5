//! Changes every field and every block of the topology after an apply: the plan and its
//! effect must agree with the table of changes in `stargate::topology::changes`.
//!
//! `cargo test` takes a sample; `STARGATE_EVERY_FIELD=1` all.

mod block_edits;
mod case;
mod cluster_edits;
mod document;
mod edits;
mod identities;
mod site_edits;
mod worker_edits;

use std::collections::BTreeSet;

use stargate::topology::changes::{DatacenterKindName, block_rules, field_rules};

use case::{Base, violations};
use edits::Edit;

/// Of so many edits, a usual run tries one.
const SAMPLE: usize = 3;
/// Decides which ones.
const SEED: usize = 1;

/// Every edit, in groups of which each is a test.
const GROUPS: [&[Edit]; 9] = [
    cluster_edits::SETTINGS,
    cluster_edits::CLUSTER_EDITS,
    cluster_edits::NODE_POOLS,
    cluster_edits::PROFILES,
    site_edits::DATACENTERS,
    site_edits::ROUTERS,
    worker_edits::WORKERS,
    worker_edits::RANGES,
    block_edits::BLOCKS,
];

/// Applies each edit of a group to a copy of one deployment.
async fn assert_group(edits: &[Edit]) {
    let base = Base::applied().await;
    let every = std::env::var_os("STARGATE_EVERY_FIELD").is_some();
    let only = std::env::var("STARGATE_FIELD").ok();
    let mut wrong = Vec::new();
    for (number, edit) in edits.iter().enumerate() {
        let name = edit.name();
        let is_chosen = match &only {
            Some(text) => name.contains(text.as_str()),
            None => every || number % SAMPLE == SEED,
        };
        if !is_chosen {
            continue;
        }
        let found = violations(&base, edit).await;
        if !found.is_empty() {
            wrong.push(format!("{name}:\n  {}", found.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{} edits:\n{}\n", wrong.len(), wrong.join("\n"));
}

macro_rules! groups {
    ($($name:ident = $edits:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            assert_group($edits).await;
        }
    )*};
}

groups! {
    fields_of_the_topology_as_a_whole = cluster_edits::SETTINGS;
    fields_of_the_cluster = cluster_edits::CLUSTER_EDITS;
    fields_of_node_pools = cluster_edits::NODE_POOLS;
    fields_of_profiles = cluster_edits::PROFILES;
    fields_of_datacenters = site_edits::DATACENTERS;
    fields_of_routers = site_edits::ROUTERS;
    fields_of_workers = worker_edits::WORKERS;
    fields_of_worker_ranges = worker_edits::RANGES;
    blocks_that_are_removed_moved_and_renamed = block_edits::BLOCKS;
}

/// The rows of the table, one for each kind of datacenter, and the edits.
#[test]
fn every_row_of_the_table_has_an_edit() {
    type Row = (String, Option<DatacenterKindName>, String);
    let rows = field_rules().chain(block_rules()).flat_map(|rule| {
        let kinds: Vec<Option<DatacenterKindName>> = match rule.kinds {
            [] => vec![None],
            kinds => kinds.iter().copied().map(Some).collect(),
        };
        kinds.into_iter().map(|kind| (rule.field.to_owned(), kind, rule.change.to_owned()))
    });
    let rows: BTreeSet<Row> = rows.collect();
    let edits = GROUPS.iter().copied().flatten();
    let edits: BTreeSet<Row> =
        edits.map(|edit| (edit.path(), edit.kind(), edit.change.to_owned())).collect();
    let missing: Vec<_> = rows.difference(&edits).collect();
    let unknown: Vec<_> = edits.difference(&rows).collect();
    assert!(missing.is_empty(), "rows without an edit: {missing:#?}");
    assert!(unknown.is_empty(), "edits without a row: {unknown:#?}");
    assert!(rows.len() > 150, "{}", rows.len());
}
