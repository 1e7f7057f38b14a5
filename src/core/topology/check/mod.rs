//! Converts the file to the checked topology, value by value.
//!
//! An invalid value is reported and, where possible, replaced by a plausible one, so
//! that one run reports as many errors as possible.

mod cluster;
mod datacenter;
mod ignores;
mod names;
mod node_pools;
mod urls;
mod values;
mod workers;

use std::collections::BTreeMap;
use std::time::Duration;

use super::file::{ProfileSection, TopologyFile};
use super::located::{Located, WidthText};
use super::model::{
    Azure, ContainerRuntime, EndpointOverrides, HostKeyPolicy, NetworkSettings, PackageSource,
    Profile, PublicKeySource, RolloutSettings, RolloutWidth, SourceAddresses, Ssh, Tailnet,
    Topology, WatchSettings,
};
use super::names::{Location, ProfileName, SubscriptionId, TailnetTag, TopologyName};
use super::spans::{ProfileSpans, TopologySpans};
use crate::diagnostics::{Code, Diagnostic};
use crate::resource::ownership::default_tag;

/// The checked topology and its spans; `None` if errors prevent further checks.
pub(super) fn build(
    file: &TopologyFile,
    found: &mut Vec<Diagnostic>,
) -> Option<(Topology, TopologySpans)> {
    let mut checker = Checker { found };
    let azure = checker.azure(file);
    let tailnet = checker.tailnet(file);
    let ssh = checker.ssh(file);
    let cluster = checker.cluster(file);
    let profiles = checker.profiles(file);
    let datacenters = checker.datacenters(file, &azure.location);
    checker.profile_references(file);
    let ignores = checker.ignores(&file.ignore);
    let name = checker.topology_name(file);
    let rollout = checker.rollout(file);
    let (cluster, cluster_spans) = cluster?;
    let (profiles, profile_spans) = profiles?;
    let (datacenters, datacenter_spans): (Vec<_>, Vec<_>) = datacenters?.into_iter().unzip();
    let network = network(file);
    let watch = watch(file);
    let topology = Topology {
        name,
        azure,
        tailnet,
        ssh,
        cluster,
        network,
        rollout,
        watch,
        profiles,
        datacenters,
        ignores,
    };
    let mut spans = TopologySpans {
        name: file.stargate.name.span.clone(),
        cluster: cluster_spans,
        tag: file.tailnet.tag.as_ref().map(|tag| tag.span.clone()),
        profiles: profile_spans,
        datacenters: datacenter_spans,
        ignores: file
            .ignore
            .iter()
            .map(|one| one.until.as_ref().map(|it| it.span.clone()))
            .collect(),
        ..TopologySpans::default()
    };
    index(&topology, &mut spans);
    Some((topology, spans))
}

fn index(topology: &Topology, spans: &mut TopologySpans) {
    for (at, datacenter) in topology.datacenters.iter().enumerate() {
        spans.by_datacenter.insert(datacenter.name.clone(), at);
        for (number, worker) in datacenter.workers.iter().enumerate() {
            spans.by_worker.entry(worker.name.clone()).or_insert((at, number));
        }
    }
}

/// Collects diagnostics.
struct Checker<'a> {
    found: &'a mut Vec<Diagnostic>,
}

fn network(file: &TopologyFile) -> NetworkSettings {
    NetworkSettings {
        source_addresses: file.network.source_addresses.unwrap_or(SourceAddresses::Masquerade),
        route_manager: file.network.route_manager.unwrap_or(false),
        goldpinger: file.network.goldpinger.unwrap_or(true),
    }
}

/// The bounds are those of the schema.
fn watch(file: &TopologyFile) -> WatchSettings {
    let (section, default) = (&file.watch, WatchSettings::default());
    let seconds = section.interval_seconds.as_ref().map(|written| written.value.into());
    WatchSettings {
        apply: section.apply.unwrap_or(default.apply),
        interval: seconds.map_or(default.interval, Duration::from_secs),
        max_removals: section.max_removals.as_ref().map_or(default.max_removals, |it| it.value),
    }
}

impl Checker<'_> {
    fn rollout(&mut self, file: &TopologyFile) -> RolloutSettings {
        let (section, default) = (&file.rollout, RolloutSettings::default());
        let drain = section.drain_seconds.as_ref().map(|written| written.value.into());
        RolloutSettings {
            canary: section.canary.as_ref().map_or(default.canary, |written| written.value),
            width: section.width.as_ref().map_or(default.width, |it| self.rollout_width(it)),
            max_failures: section.max_failures.as_ref().map_or(default.max_failures, |it| it.value),
            drain_within: drain.map_or(default.drain_within, Duration::from_secs),
        }
    }

    /// The bounds of a count are those of the schema.
    fn rollout_width(&mut self, written: &Located<WidthText>) -> RolloutWidth {
        let text = match &written.value {
            WidthText::Count(count) => return RolloutWidth::Count(*count),
            WidthText::Percentage(text) => text,
        };
        let digits = text.strip_suffix('%');
        let remedy = "set a number of workers from 1 to 64, or a percentage such as \"25%\"";
        let Some(percent) = digits.and_then(|digits| digits.parse().ok()) else {
            let message = format!("`width` is neither a number nor a percentage: \"{text}\"");
            self.found.push(
                Diagnostic::error(Code::UnknownValue, message)
                    .at(written.span.clone(), "not a percentage")
                    .remedy(remedy),
            );
            return RolloutWidth::Default;
        };
        if !(1..=100).contains(&percent) {
            self.found.push(
                Diagnostic::error(Code::OutOfBounds, "`width` is out of range")
                    .at(written.span.clone(), "not between 1% and 100%")
                    .remedy(remedy),
            );
        }
        RolloutWidth::Percent(percent)
    }

    fn topology_name(&mut self, file: &TopologyFile) -> TopologyName {
        self.host_name(&file.stargate.name, "topology");
        TopologyName::new(&file.stargate.name.value)
    }

    fn azure(&mut self, file: &TopologyFile) -> Azure {
        let subscription = file.azure.subscription.as_ref().map(|written| {
            self.subscription(written);
            SubscriptionId::new(written.value.to_ascii_lowercase())
        });
        self.region(&file.azure.location);
        let endpoints = &file.azure.endpoints;
        Azure {
            subscription,
            location: Location::new(&file.azure.location.value),
            cloud: file.azure.cloud,
            endpoints: EndpointOverrides {
                resource_manager: self.optional_url(endpoints.resource_manager.as_ref()),
                authority: self.optional_url(endpoints.authority.as_ref()),
                audience: endpoints.audience.as_ref().map(|written| self.audience(written)),
            },
        }
    }

    fn tailnet(&mut self, file: &TopologyFile) -> Tailnet {
        let tag = match &file.tailnet.tag {
            Some(written) => {
                self.tag(written, &file.stargate.name);
                written.value.clone()
            }
            None => default_tag(&TopologyName::new(&file.stargate.name.value)),
        };
        if let Some(name) = &file.tailnet.name {
            self.tailnet_name(name);
        }
        let name = file.tailnet.name.as_ref().map_or("-", |name| name.value.as_str());
        let api = self.optional_url(file.tailnet.api.as_ref());
        Tailnet { name: name.to_owned(), api, tag: TailnetTag::new(tag) }
    }

    fn ssh(&mut self, file: &TopologyFile) -> Ssh {
        let section = &file.ssh;
        if let Some(user) = &section.user {
            self.user(user);
        }
        let public_key = section.public_key.as_ref().map(|written| self.public_key(written));
        Ssh {
            user: section.user.as_ref().map_or("ubuntu", |user| user.value.as_str()).to_owned(),
            port: section.port.as_ref().map_or(22, |port| port.value),
            public_key: public_key
                .unwrap_or_else(|| PublicKeySource::File("~/.ssh/id_ed25519.pub".to_owned())),
            identity_files: section.identity_files.iter().map(|path| self.path(path)).collect(),
            known_hosts: section.known_hosts.as_ref().map(|path| self.path(path)),
            host_keys: section.host_keys.unwrap_or(HostKeyPolicy::AcceptNew),
        }
    }

    fn profiles(
        &mut self,
        file: &TopologyFile,
    ) -> Option<(BTreeMap<ProfileName, Profile>, BTreeMap<ProfileName, ProfileSpans>)> {
        let mut profiles = BTreeMap::new();
        let mut spans = BTreeMap::new();
        let mut complete = true;
        for (key, section) in &file.profiles {
            self.host_name(key, "profile");
            let name = ProfileName::new(&key.value);
            let profile_spans = ProfileSpans {
                name: key.span.clone(),
                kubernetes_version: section.kubernetes_version.span.clone(),
            };
            spans.insert(name.clone(), profile_spans);
            match self.profile(section) {
                Some(profile) => drop(profiles.insert(name, profile)),
                None => complete = false,
            }
        }
        complete.then_some((profiles, spans))
    }

    fn profile(&mut self, section: &ProfileSection) -> Option<Profile> {
        for (key, value) in &section.labels {
            self.label(key, value);
        }
        section.taints.iter().for_each(|taint| self.taint(taint));
        let kubernetes_version = self.version(&section.kubernetes_version)?;
        let labels = section.labels.iter();
        Some(Profile {
            kubernetes_version,
            container_runtime: section.container_runtime.unwrap_or(ContainerRuntime::Containerd),
            packages: section.packages.unwrap_or(PackageSource::Upstream),
            managed_cilium: section.managed_cilium.unwrap_or(true),
            labels: labels.map(|(key, value)| (key.value.clone(), value.value.clone())).collect(),
            taints: section.taints.iter().map(|taint| taint.value.clone()).collect(),
            max_pods: section.max_pods.as_ref().map(|written| written.value),
        })
    }
}
