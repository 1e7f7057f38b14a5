//! Checks the section `[cluster]`.

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::file::{ClusterSection, NodePoolSection, TopologyFile};
use crate::topology::located::Located;
use crate::topology::model::{Cluster, ClusterRouter, ClusterTier, NodePoolScale, SupportPlan};
use crate::topology::names::{ClusterName, NodePoolName, ResourceGroupName, RouterName, VmSize};
use crate::topology::spans::ClusterSpans;

impl Checker<'_> {
    pub(super) fn cluster(&mut self, file: &TopologyFile) -> Option<(Cluster, ClusterSpans)> {
        let section = &file.cluster;
        self.cluster_names(section, &file.azure.location);
        self.support_plan(section);
        let version = self.version(&section.kubernetes_version);
        let pod_cidr = self.cidr(&section.pod_cidr);
        let service_cidr = self.cidr(&section.service_cidr);
        let node_pools = self.node_pools(section);
        let router = self.cluster_router(section);
        let cluster = Cluster {
            existing: section.existing,
            name: ClusterName::new(&section.name.value),
            resource_group: ResourceGroupName::new(&section.resource_group.value),
            kubernetes_version: version?,
            tier: section.tier,
            support_plan: section.support_plan.as_ref().map(|written| written.value),
            route_table: section.route_table.unwrap_or_default(),
            pod_cidr: pod_cidr?,
            service_cidr: service_cidr?,
            node_pools,
            router: router?,
            protect: section.protect,
        };
        Some((cluster, spans(section)))
    }

    fn cluster_names(&mut self, section: &ClusterSection, region: &Located<String>) {
        self.cluster_name(&section.name);
        self.resource_group(&section.resource_group);
        if !section.existing {
            self.node_group_length(&section.resource_group, &section.name, region);
        }
    }

    /// AKS has long-term support in one tier only.
    fn support_plan(&mut self, section: &ClusterSection) {
        let is_premium = section.tier == Some(ClusterTier::Premium);
        let Some(plan) = section.support_plan.as_ref().filter(|_| !is_premium) else { return };
        if plan.value == SupportPlan::LongTerm {
            let message = "long-term support needs the tier `premium`";
            self.found.push(
                Diagnostic::error(Code::SupportPlanTier, message)
                    .at(plan.span.clone(), "AKS refuses this plan in other tiers")
                    .remedy(
                        "set `tier = \"premium\"` in [cluster], or \
                         `support_plan = \"KubernetesOfficial\"`",
                    ),
            );
        }
    }

    fn cluster_router(&mut self, section: &ClusterSection) -> Option<ClusterRouter> {
        let router = &section.router;
        self.host_name(&router.name, "router");
        self.vm_size(&router.vm_size);
        Some(ClusterRouter {
            name: RouterName::new(&router.name.value),
            subnet_cidr: self.cidr(&router.subnet_cidr)?,
            vm_size: VmSize::new(&router.vm_size.value),
            protect: router.protect,
        })
    }

    /// On a conflict, reports it and assumes the greatest number.
    pub(super) fn scale(&mut self, key: &Located<String>, pool: &NodePoolSection) -> NodePoolScale {
        let value = |written: &Option<Located<u32>>| written.as_ref().map(|written| written.value);
        let (count, min, max) = (value(&pool.count), value(&pool.min), value(&pool.max));
        match (count, min, max) {
            (Some(count), None, None) => return NodePoolScale::Fixed { count },
            (None, Some(min), Some(max)) if min <= max => {
                return NodePoolScale::Autoscaled { min, max };
            }
            _ => {}
        }
        let label = match (count, min, max) {
            (None, Some(_), Some(_)) => "`min` is greater than `max`",
            (None, None, None) => "neither `count` nor `min` and `max`",
            (None, ..) => "only one of `min` and `max`",
            _ => "`count` together with `min` or `max`",
        };
        let message = format!("invalid size of node pool `{}`", key.value);
        self.found.push(
            Diagnostic::error(Code::ScaleConflict, message).at(key.span.clone(), label).remedy(
                "set either `count`, or both `min` and `max` with `min` not greater than `max`",
            ),
        );
        NodePoolScale::Fixed { count: count.max(min).max(max).unwrap_or(1) }
    }
}

fn spans(section: &ClusterSection) -> ClusterSpans {
    let pools = section.node_pools.keys();
    ClusterSpans {
        name: section.name.span.clone(),
        resource_group: section.resource_group.span.clone(),
        kubernetes_version: section.kubernetes_version.span.clone(),
        pod_cidr: section.pod_cidr.span.clone(),
        service_cidr: section.service_cidr.span.clone(),
        node_pools: pools.map(|key| (NodePoolName::new(&key.value), key.span.clone())).collect(),
        router_name: section.router.name.span.clone(),
        router_subnet: section.router.subnet_cidr.span.clone(),
    }
}
