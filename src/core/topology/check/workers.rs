//! Checks workers and worker ranges.

use std::net::Ipv4Addr;

use super::Checker;
use super::datacenter::WrittenKind;
use super::names::is_host_name;
use crate::diagnostics::{Code, Diagnostic, closest};
use crate::net::prefix;
use crate::topology::file::{DatacenterSection, TopologyFile, WorkerRangeSection, WorkerSection};
use crate::topology::located::Located;
use crate::topology::model::Worker;
use crate::topology::names::{ProfileName, VmSize, WorkerName};
use crate::topology::spans::WorkerSpans;

type Workers = (Vec<Worker>, Vec<WorkerSpans>);

impl Checker<'_> {
    pub(super) fn workers(
        &mut self,
        key: &Located<String>,
        section: &DatacenterSection,
        kind: WrittenKind,
    ) -> Workers {
        let profile = ProfileName::new(&section.profile.value);
        let mut workers: Workers = section
            .workers
            .iter()
            .map(|worker| self.worker(worker, &profile, (section, kind)))
            .unzip();
        if let Some(range) = &section.worker_range {
            self.range(&range.value, &profile, (section, kind), &mut workers);
        }
        if workers.0.is_empty() {
            self.found.push(
                Diagnostic::warning(
                    Code::NoWorkers,
                    format!("datacenter `{}` has no workers", key.value),
                )
                .at(key.span.clone(), "no workers")
                .remedy(format!(
                    "add `[[datacenters.{}.workers]]`, or ignore this warning",
                    key.value
                )),
            );
        }
        workers
    }

    fn worker(
        &mut self,
        section: &WorkerSection,
        profile: &ProfileName,
        (datacenter, kind): (&DatacenterSection, WrittenKind),
    ) -> (Worker, WorkerSpans) {
        self.host_name(&section.name, "worker");
        self.optional_vm_size(section.vm_size.as_ref());
        if kind == WrittenKind::Existing {
            self.check_existing_machine(section);
        }
        let worker = Worker {
            name: WorkerName::new(&section.name.value),
            ip: section.ip.as_ref().and_then(|written| self.address(written)),
            pod_cidr: self.optional_cidr(section.pod_cidr.as_ref()),
            mac: section.mac.as_ref().map(|written| self.mac(written)),
            gateway: self.gateway(section.gateway.as_ref(), datacenter, kind),
            host_key: self.host_key(section.host_key.as_ref()),
            vm_size: section.vm_size.as_ref().map(|written| VmSize::new(&written.value)),
            profile: own_profile(section.profile.as_ref(), profile),
            protect: section.protect,
        };
        let spans = WorkerSpans {
            name: section.name.span.clone(),
            ip: section.ip.as_ref().map(|written| written.span.clone()),
            pod_cidr: section.pod_cidr.as_ref().map(|written| written.span.clone()),
            mac: section.mac.as_ref().map(|written| written.span.clone()),
        };
        (worker, spans)
    }

    fn check_existing_machine(&mut self, section: &WorkerSection) {
        self.not_for(
            WrittenKind::Existing,
            "vm_size",
            section.vm_size.as_ref().map(|size| &size.span),
        );
        if section.ip.is_none() {
            self.missing_fact("ip", &section.name);
        }
        if section.mac.is_none() {
            self.missing_fact("mac", &section.name);
        }
    }

    fn range(
        &mut self,
        section: &WorkerRangeSection,
        profile: &ProfileName,
        (datacenter, kind): (&DatacenterSection, WrittenKind),
        workers: &mut Workers,
    ) {
        self.optional_vm_size(section.vm_size.as_ref());
        if kind == WrittenKind::Existing {
            self.not_for(kind, "vm_size", section.vm_size.as_ref().map(|size| &size.span));
            if section.first_ip.is_none() {
                let pattern =
                    Located { value: section.name.to_string(), span: section.name.span.clone() };
                self.missing_fact("first_ip", &pattern);
            }
        }
        let first_ip = section.first_ip.as_ref().and_then(|written| self.address(written));
        let first_pods = self.optional_cidr(section.first_pod_cidr.as_ref());
        let gateway = self.gateway(section.gateway.as_ref(), datacenter, kind);
        let Some(pattern) = self.pattern(section) else { return };
        let spans = WorkerSpans {
            name: section.name.span.clone(),
            ip: section.first_ip.as_ref().map(|written| written.span.clone()),
            pod_cidr: section.first_pod_cidr.as_ref().map(|written| written.span.clone()),
            mac: None,
        };
        for step in 0..section.count.value {
            let ip =
                first_ip.and_then(|first| u32::from(first).checked_add(step)).map(Ipv4Addr::from);
            workers.0.push(Worker {
                name: WorkerName::new(pattern.name(step + 1)),
                ip,
                pod_cidr: first_pods.and_then(|first| prefix::following(&first, step)),
                mac: ip.filter(|_| kind == WrittenKind::Existing).map(derived_mac),
                gateway,
                host_key: None,
                vm_size: section.vm_size.as_ref().map(|written| VmSize::new(&written.value)),
                profile: own_profile(section.profile.as_ref(), profile),
                protect: section.protect,
            });
            workers.1.push(spans.clone());
        }
    }

    fn pattern<'a>(&mut self, section: &'a WorkerRangeSection) -> Option<Pattern<'a>> {
        let text: &str = &section.name.value;
        let pattern = Pattern::parse(text);
        // If the first and the longest name are legal, so are all others.
        let legal = pattern.as_ref().is_some_and(|pattern| {
            is_host_name(&pattern.name(1)) && is_host_name(&pattern.name(section.count.value))
        });
        if legal {
            return pattern;
        }
        self.found.push(
            Diagnostic::error(
                Code::NamePatternInvalid,
                format!("name pattern `{text}` results in invalid names"),
            )
            .at(
                section.name.span.clone(),
                "expected one `{}` or `{:03}` and lowercase letters, digits and hyphens",
            )
            .remedy("use a pattern such as \"dc2-worker-{:03}\""),
        );
        None
    }

    /// Checks references to profiles.
    pub(super) fn profile_references(&mut self, file: &TopologyFile) {
        for section in file.datacenters.values() {
            self.profile_reference(&section.profile, file);
            let workers = section.workers.iter().filter_map(|worker| worker.profile.as_ref());
            let range = section.worker_range.as_ref().and_then(|range| range.profile.as_ref());
            for written in workers.chain(range) {
                self.profile_reference(written, file);
            }
        }
    }

    fn profile_reference(&mut self, written: &Located<String>, file: &TopologyFile) {
        if file.profiles.contains_key(written) {
            return;
        }
        let names = file.profiles.keys().map(|key| key.value.as_str());
        let remedy = match closest(&written.value, names) {
            Some(proposal) => format!("did you mean \"{proposal}\"?"),
            None => format!("add `[profiles.{}]`", written.value),
        };
        self.found.push(
            Diagnostic::error(Code::UnknownProfile, format!("unknown profile `{}`", written.value))
                .at(written.span.clone(), "not defined in `[profiles]`")
                .remedy(remedy),
        );
    }
}

fn own_profile(written: Option<&Located<String>>, datacenter: &ProfileName) -> ProfileName {
    written.map_or_else(|| datacenter.clone(), |written| ProfileName::new(&written.value))
}

/// A locally administered MAC address derived from the address of the machine.
fn derived_mac(ip: Ipv4Addr) -> String {
    let [a, b, c, d] = ip.octets();
    format!("02:00:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// A name with a placeholder for a number.
struct Pattern<'a> {
    before: &'a str,
    after: &'a str,
    width: usize,
}

impl<'a> Pattern<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (before, rest) = text.split_once('{')?;
        let (format, after) = rest.split_once('}')?;
        let width = match format.strip_prefix(":0") {
            Some(digits) => digits.parse().ok().filter(|width| (1..=9).contains(width))?,
            None if format.is_empty() => 0,
            None => return None,
        };
        let single = !after.contains(['{', '}']);
        single.then_some(Self { before, after, width })
    }

    fn name(&self, number: u32) -> String {
        format!("{}{number:0width$}{}", self.before, self.after, width = self.width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_number_with_and_without_zeros() {
        assert_eq!(Pattern::parse("a-{:03}-b").unwrap().name(7), "a-007-b");
        assert_eq!(Pattern::parse("a-{}").unwrap().name(12), "a-12");
        for text in ["a", "a-{:3}", "a-{:0}", "{}-{}", "a-{", "a-{:0x}"] {
            assert!(Pattern::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn derived_addresses_are_locally_administered() {
        assert_eq!(derived_mac(Ipv4Addr::new(10, 60, 1, 5)), "02:00:0a:3c:01:05");
    }
}
