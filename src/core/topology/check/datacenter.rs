//! Checks the sections `[datacenters.<name>]`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Checker;
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::net::prefix;
use crate::topology::file::{AzureSiteSection, DatacenterSection, TopologyFile};
use crate::topology::located::{AddressText, Located};
use crate::topology::model::{
    AzureDatacenter, Datacenter, DatacenterKind, DatacenterRouter, ExistingDatacenter,
};
use crate::topology::names::{
    DatacenterName, Location, ProfileName, ResourceGroupName, RouterName, VmSize,
};
use crate::topology::spans::DatacenterSpans;

/// The kind of a datacenter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenKind {
    Azure,
    Existing,
}

type Checked = (Datacenter, DatacenterSpans);

impl Checker<'_> {
    /// The datacenters in file order; `None` if errors prevent further checks.
    pub(super) fn datacenters(
        &mut self,
        file: &TopologyFile,
        region: &Location,
    ) -> Option<Vec<Checked>> {
        let mut sections: Vec<_> = file.datacenters.iter().collect();
        sections.sort_by_key(|(key, _)| key.span.start);
        let checked: Vec<_> = sections
            .into_iter()
            .map(|(key, section)| self.datacenter(key, section, region))
            .collect();
        checked.into_iter().collect()
    }

    fn datacenter(
        &mut self,
        key: &Located<String>,
        section: &DatacenterSection,
        region: &Location,
    ) -> Option<Checked> {
        self.datacenter_name(key);
        let kind = self.kind(key, section);
        let datacenter_kind = self.datacenter_kind(section, region);
        let pod_pool = self.optional_cidr(section.pod_pool.as_ref());
        let profile = ProfileName::new(&section.profile.value);
        // With several kinds, the values are checked for the first one.
        let checked = match (kind, &section.azure, &section.existing) {
            (Some(kind), ..) => kind,
            (None, Some(_), _) => WrittenKind::Azure,
            (None, None, Some(_)) => WrittenKind::Existing,
            (None, None, None) => return None,
        };
        let (workers, worker_spans) = self.workers(key, section, checked);
        let router = self.datacenter_router(section, checked, datacenter_kind.as_ref());
        kind?;
        let mut spans = spans(key, section)?;
        spans.workers = worker_spans;
        let datacenter = Datacenter {
            name: DatacenterName::new(&key.value),
            kind: datacenter_kind?,
            pod_pool,
            pod_prefix_length: section.pod_prefix_length.as_ref().map_or(24, |length| length.value),
            profile,
            router: router?,
            workers,
            protect: section.protect,
        };
        Some((datacenter, spans))
    }

    fn kind(&mut self, key: &Located<String>, section: &DatacenterSection) -> Option<WrittenKind> {
        if let Some(qemu) = &section.qemu {
            self.found.push(
                Diagnostic::error(
                    Code::UnsupportedKind,
                    "datacenters of kind `qemu` are not supported yet",
                )
                .at(qemu.span.clone(), "reserved for local virtual machines")
                .remedy("use `azure`, or start the machines yourself and use `existing`"),
            );
        }
        match (&section.azure, &section.existing, &section.qemu) {
            (Some(_), None, None) => Some(WrittenKind::Azure),
            (None, Some(_), None) => Some(WrittenKind::Existing),
            (None, None, Some(_)) => None,
            (azure, existing, _) => {
                let label =
                    if azure.is_some() || existing.is_some() { "several kinds" } else { "no kind" };
                let message = format!("datacenter `{}` needs exactly one kind", key.value);
                self.found.push(
                    Diagnostic::error(Code::DatacenterKind, message)
                        .at(key.span.clone(), label)
                        .remedy(format!(
                            "keep one of `[datacenters.{0}.azure]` and `[datacenters.{0}.existing]`",
                            key.value
                        )),
                );
                None
            }
        }
    }

    fn datacenter_kind(
        &mut self,
        section: &DatacenterSection,
        region: &Location,
    ) -> Option<DatacenterKind> {
        if let Some(azure) = &section.azure {
            return self.azure_datacenter(azure, region).map(DatacenterKind::Azure);
        }
        let existing = section.existing.as_ref()?;
        let network_cidr = self.cidr(&existing.network_cidr)?;
        Some(DatacenterKind::Existing(ExistingDatacenter { network_cidr }))
    }

    fn azure_datacenter(
        &mut self,
        section: &AzureSiteSection,
        region: &Location,
    ) -> Option<AzureDatacenter> {
        self.resource_group(&section.resource_group);
        self.vm_size(&section.vm_size);
        if let Some(location) = &section.location {
            self.region(location);
        }
        let vnet_cidr = self.cidr(&section.vnet_cidr);
        let subnet_cidr = self.cidr(&section.subnet_cidr);
        let router_subnet_cidr = self.cidr(&section.router_subnet_cidr);
        Some(AzureDatacenter {
            resource_group: ResourceGroupName::new(&section.resource_group.value),
            location: section
                .location
                .as_ref()
                .map_or_else(|| region.clone(), |written| Location::new(&written.value)),
            vnet_cidr: vnet_cidr?,
            subnet_cidr: subnet_cidr?,
            router_subnet_cidr: router_subnet_cidr?,
            vm_size: VmSize::new(&section.vm_size.value),
        })
    }

    fn datacenter_router(
        &mut self,
        section: &DatacenterSection,
        kind: WrittenKind,
        checked: Option<&DatacenterKind>,
    ) -> Option<DatacenterRouter> {
        let router = &section.router;
        self.host_name(&router.name, "router");
        self.optional_vm_size(router.vm_size.as_ref());
        let host_key = self.host_key(router.host_key.as_ref());
        let written = router.ip.as_ref().map(|written| self.address(written));
        let gateway = self.gateway(router.gateway.as_ref(), section, kind);
        let has_distant = section.workers.iter().any(|worker| worker.gateway.is_some())
            || section.worker_range.as_ref().is_some_and(|range| range.value.gateway.is_some());
        if kind == WrittenKind::Existing && has_distant && router.gateway.is_none() {
            self.missing_fact("gateway", &router.name);
        }
        let ip = match kind {
            WrittenKind::Azure => {
                self.not_for(kind, "ip", router.ip.as_ref().map(|ip| &ip.span));
                self.not_for(kind, "ssh_address", router.ssh_address.as_ref().map(|one| &one.span));
                checked.and_then(azure_router_address)
            }
            WrittenKind::Existing => {
                self.not_for(kind, "vm_size", router.vm_size.as_ref().map(|size| &size.span));
                if written.is_none() {
                    self.missing_fact("ip", &router.name);
                }
                written.flatten()
            }
        };
        Some(DatacenterRouter {
            name: RouterName::new(&router.name.value),
            ip: ip?,
            gateway,
            ssh_address: router.ssh_address.as_ref().map(|written| written.value.clone()),
            host_key,
            vm_size: router.vm_size.as_ref().map(|written| VmSize::new(&written.value)),
            protect: router.protect,
        })
    }

    /// A gateway: an address of the network that is no machine's of the datacenter.
    pub(super) fn gateway(
        &mut self,
        written: Option<&Located<AddressText>>,
        section: &DatacenterSection,
        kind: WrittenKind,
    ) -> Option<Ipv4Addr> {
        let written = written?;
        if kind == WrittenKind::Azure {
            self.not_for(kind, "gateway", Some(&written.span));
            return None;
        }
        let gateway = self.address(written)?;
        let network = section.existing.as_ref().map(|it| it.network_cidr.value.to_string());
        let network: Option<Ipv4Net> = network.and_then(|text| text.parse().ok());
        if let Some(network) = network.filter(|network| !network.contains(&gateway)) {
            let message = format!("the gateway {gateway} is outside the network {network}");
            self.found.push(
                Diagnostic::error(Code::AddressOutsideSubnet, message)
                    .at(written.span.clone(), format!("not in {network}"))
                    .remedy("write the address that the gateway has on the machine's own segment"),
            );
        }
        let text = gateway.to_string();
        let workers = section.workers.iter().filter_map(|worker| worker.ip.as_ref());
        let mut machines = workers.chain(&section.router.ip);
        if machines.any(|ip| ip.value.to_string() == text) {
            let message = format!("the gateway {gateway} is a machine of the datacenter");
            self.found.push(
                Diagnostic::error(Code::DuplicateAddress, message)
                    .at(written.span.clone(), "the address of the router or of a worker")
                    .remedy(
                        "write the gateway between the segments; a worker on the router's segment \
                         needs none",
                    ),
            );
        }
        Some(gateway)
    }

    pub(super) fn not_for(&mut self, kind: WrittenKind, key: &str, span: Option<&Span>) {
        let Some(span) = span else { return };
        let kind = if kind == WrittenKind::Azure { "azure" } else { "existing" };
        self.found.push(
            Diagnostic::error(
                Code::KeyNotForKind,
                format!("`{key}` is not valid for kind `{kind}`"),
            )
            .at(span.clone(), format!("not valid for kind `{kind}`"))
            .remedy(format!("remove `{key}`, or change the kind of the datacenter")),
        );
    }

    pub(super) fn missing_fact(&mut self, key: &str, machine: &Located<String>) {
        let message = format!("existing machine `{}` needs `{key}`", machine.value);
        self.found.push(
            Diagnostic::error(Code::MissingMachineFact, message)
                .at(machine.span.clone(), format!("`{key}` is missing"))
                .remedy(format!("add the `{key}` of the machine")),
        );
    }
}

/// The address of a router. A lint reports subnets that are too small; until then
/// the network address is assumed.
fn azure_router_address(kind: &DatacenterKind) -> Option<Ipv4Addr> {
    let DatacenterKind::Azure(azure) = kind else { return None };
    let subnet = &azure.router_subnet_cidr;
    Some(prefix::router_address(subnet).unwrap_or_else(|| subnet.network()))
}

fn spans(key: &Located<String>, section: &DatacenterSection) -> Option<DatacenterSpans> {
    let azure = section.azure.as_ref();
    let existing = section.existing.as_ref();
    let network = azure
        .map(|azure| azure.vnet_cidr.span.clone())
        .or_else(|| existing.map(|existing| existing.network_cidr.span.clone()))?;
    Some(DatacenterSpans {
        name: key.span.clone(),
        network,
        resource_group: azure.map(|azure| azure.resource_group.span.clone()),
        subnet: azure.map(|azure| azure.subnet_cidr.span.clone()),
        router_subnet: azure.map(|azure| azure.router_subnet_cidr.span.clone()),
        pod_pool: section.pod_pool.as_ref().map(|pool| pool.span.clone()),
        profile: section.profile.span.clone(),
        router_name: section.router.name.span.clone(),
        router_ip: section.router.ip.as_ref().map(|ip| ip.span.clone()),
        workers: Vec::new(),
    })
}
