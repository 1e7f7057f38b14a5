//! Checks the tables `[cluster.node_pools.<name>]`.

use std::collections::{BTreeMap, BTreeSet};

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::file::{ClusterSection, NodePoolSection};
use crate::topology::located::{Located, SurgeText};
use crate::topology::model::{NodePoolMode, NodePoolSettings};
use crate::topology::names::{NodePoolName, VmSize};

impl Checker<'_> {
    pub(super) fn node_pools(
        &mut self,
        section: &ClusterSection,
    ) -> BTreeMap<NodePoolName, NodePoolSettings> {
        let mut pools = BTreeMap::new();
        for (key, pool) in &section.node_pools {
            self.node_pool_name(key);
            pools.insert(NodePoolName::new(&key.value), self.node_pool(key, pool));
        }
        let nodes: u32 = pools.values().map(|pool| pool.scale.max_nodes()).sum();
        if nodes == 0 && !section.existing {
            self.found.push(
                Diagnostic::error(Code::NoNodePools, "the cluster has no node pool with nodes")
                    .at(section.name.span.clone(), "AKS needs nodes for system pods")
                    .remedy("add `[cluster.node_pools.<name>]` with `count = 2` and `vm_size`"),
            );
        } else {
            self.system_pools(section, &pools);
        }
        pools
    }

    fn node_pool(&mut self, key: &Located<String>, section: &NodePoolSection) -> NodePoolSettings {
        self.vm_size(&section.vm_size);
        let labels = section.labels.iter();
        labels.for_each(|(key, value)| self.label(key, value));
        section.taints.iter().for_each(|taint| self.taint(taint));
        let labels = section.labels.iter();
        NodePoolSettings {
            scale: self.scale(key, section),
            vm_size: VmSize::new(&section.vm_size.value),
            mode: section.mode,
            position: key.span.start,
            labels: labels.map(|(key, value)| (key.value.clone(), value.value.clone())).collect(),
            taints: section.taints.iter().map(|taint| taint.value.clone()).collect(),
            max_surge: section.max_surge.as_ref().map(|written| self.surge(written)),
            max_pods: section.max_pods.as_ref().map(|written| written.value),
            os_disk_gb: section.os_disk_gb.as_ref().map(|written| written.value),
            zones: section.zones.as_ref().map(|zones| self.zones(zones)),
        }
    }

    /// At least one pool must be able to run AKS's own pods at all times.
    fn system_pools(
        &mut self,
        section: &ClusterSection,
        pools: &BTreeMap<NodePoolName, NodePoolSettings>,
    ) {
        let names = section.node_pools.keys().zip(pools.values());
        let remedy =
            "set `mode = \"system\"` in a pool with at least one node (AKS recommends two)";
        let may_be_system = |pool: &NodePoolSettings| match pool.mode {
            Some(mode) => mode == NodePoolMode::System,
            None => pool.scale.min_nodes() > 0,
        };
        if !pools.is_empty() && !pools.values().any(may_be_system) {
            let span = section.name.span.clone();
            self.found.push(
                Diagnostic::error(Code::NoSystemPool, "the cluster has no system node pool")
                    .at(span, "every pool has `mode = \"user\"` or may have no nodes")
                    .remedy(remedy),
            );
        }
        for (key, pool) in names {
            if pool.mode == Some(NodePoolMode::System) && pool.scale.min_nodes() == 0 {
                let message = format!("the system node pool `{}` may have no nodes", key.value);
                self.found.push(
                    Diagnostic::error(Code::NoSystemPool, message)
                        .at(key.span.clone(), "a system pool needs at least one node")
                        .remedy(remedy),
                );
            }
        }
    }

    fn surge(&mut self, written: &Located<SurgeText>) -> String {
        let text: &str = &written.value;
        let number = text.strip_suffix('%').unwrap_or(text);
        let limit = if text.ends_with('%') { 100 } else { 1000 };
        if !number.parse::<u32>().is_ok_and(|number| (1..=limit).contains(&number)) {
            self.found.push(
                Diagnostic::error(Code::OutOfBounds, format!("invalid surge `{text}`"))
                    .at(written.span.clone(), "not a number or percentage of nodes")
                    .remedy("use a number such as \"1\", or a percentage such as \"33%\""),
            );
        }
        text.to_owned()
    }

    fn zones(&mut self, written: &[Located<String>]) -> BTreeSet<String> {
        for zone in written {
            let is_number = (1..=2).contains(&zone.value.len())
                && zone.value.chars().all(|one| one.is_ascii_digit());
            if !is_number {
                let message = format!("invalid availability zone `{}`", zone.value);
                self.found.push(
                    Diagnostic::error(Code::UnknownValue, message)
                        .at(zone.span.clone(), "not a zone")
                        .remedy("use the numbers of zones, such as \"1\""),
                );
            }
        }
        written.iter().map(|zone| zone.value.clone()).collect()
    }
}
