//! The collection of hosts, which records the hosts that may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref, Index};

use serde::{Deserialize, Serialize};

use super::{EmulatedHost, HostKind};

/// The hosts by label: the host's name, or, for further machines of the same name, the name and
/// the address.
///
/// Two machines may have the same host name, for example a VM and the machine that replaces it in
/// another datacenter. The collection records the name of every host that is accessed mutably, so
/// that controllers reconcile only those.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts {
    machines: BTreeMap<String, EmulatedHost>,
    #[serde(skip)]
    touched: Touched,
}

/// The hosts that may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Touched {
    /// All hosts, after a load.
    #[default]
    All,
    /// The hosts with these names, some of which may be deleted, and their Nodes.
    Some(BTreeSet<String>),
}

impl Touched {
    fn note(&mut self, name: &str) {
        if let Self::Some(names) = self {
            names.insert(name.to_owned());
        }
    }
}

impl EmulatedHost {
    /// How certain it is that a Node of its name is this machine, if others have the same name.
    pub(in crate::sandbox) fn node_precedence(&self) -> impl Ord {
        (self.worker.registered, self.worker.configuration.is_some())
    }

    fn is_same_machine(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (HostKind::Vm { id, .. }, HostKind::Vm { id: other, .. }) => id == other,
            (HostKind::Existing { mac }, HostKind::Existing { mac: other_mac }) => {
                self.ip == other.ip || mac.is_none() || other_mac.is_none() || mac == other_mac
            }
            _ => false,
        }
    }
}

impl Hosts {
    /// The host with a name. Of several, it is the one whose kubelet serves a Node.
    pub fn get(&self, name: &str) -> Option<&EmulatedHost> {
        self.machines.get(self.label_of(name)?)
    }

    /// The host with a name, mutable and recorded as touched.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut EmulatedHost> {
        let label = self.label_of(name)?.to_owned();
        self.get_labelled_mut(&label)
    }

    /// The host with a label, mutable and recorded as touched.
    pub fn get_labelled_mut(&mut self, label: &str) -> Option<&mut EmulatedHost> {
        let host = self.machines.get_mut(label)?;
        self.touched.note(&host.name);
        Some(host)
    }

    /// All hosts with a name, by label.
    pub fn named(&self, name: &str) -> impl Iterator<Item = (&str, &EmulatedHost)> {
        let machines = self.machines.range::<str, _>((Bound::Included(name), Bound::Unbounded));
        let group = machines.take_while(move |(label, _)| is_label_of(label, name));
        group.map(|(label, host)| (label.as_str(), host))
    }

    fn label_of(&self, name: &str) -> Option<&str> {
        let mut found = self.named(name);
        let mut best = found.next()?;
        for other in found {
            if other.1.node_precedence() > best.1.node_precedence() {
                best = other;
            }
        }
        Some(best.0)
    }

    /// Inserts a host, replacing the same machine. Returns its label.
    pub fn insert(&mut self, host: EmulatedHost) -> String {
        self.touched.note(&host.name);
        let same = self.named(&host.name).find(|(_, known)| known.is_same_machine(&host));
        let label = match same {
            Some((label, _)) => label.to_owned(),
            None if !self.machines.contains_key(&host.name) => host.name.clone(),
            None => self.free_label(&host),
        };
        self.machines.insert(label.clone(), host);
        label
    }

    fn free_label(&self, host: &EmulatedHost) -> String {
        let first = format!("{} at {}", host.name, host.ip);
        let numbered = (2_u32..).map(|number| format!("{first} ({number})"));
        let mut labels = std::iter::once(first.clone()).chain(numbered);
        labels.find(|label| !self.machines.contains_key(label)).unwrap_or(first)
    }

    /// Removes the host with a label.
    pub fn remove(&mut self, label: &str) -> Option<EmulatedHost> {
        let host = self.machines.remove(label)?;
        self.touched.note(&host.name);
        if let Some(configuration) = &host.worker.configuration {
            self.touched.note(&configuration.node_name);
        }
        Some(host)
    }

    /// The existing machine with a MAC address gets another host name, as from its operator.
    /// Returns whether there is such a machine.
    pub fn rename_by_mac(&mut self, mac: &str, name: &str) -> bool {
        let has_mac = |host: &EmulatedHost| matches!(&host.kind, HostKind::Existing { mac: Some(known) } if known.eq_ignore_ascii_case(mac));
        let found = self.machines.iter().find(|(_, host)| has_mac(host));
        let Some((label, host)) = found.map(|(label, host)| (label.clone(), host)) else {
            return false;
        };
        if host.name != name
            && let Some(mut host) = self.remove(&label)
        {
            name.clone_into(&mut host.name);
            self.insert(host);
        }
        true
    }

    /// The labels of all hosts with a name, for controllers.
    pub(in crate::sandbox) fn labels(&self, name: &str) -> Vec<String> {
        self.named(name).map(|(label, _)| label.to_owned()).collect()
    }

    /// The host with a label, mutable and not recorded as touched: for controllers.
    pub(in crate::sandbox) fn get_mut_untracked(
        &mut self,
        label: &str,
    ) -> Option<&mut EmulatedHost> {
        self.machines.get_mut(label)
    }

    /// The hosts that may have changed since the last call.
    pub(in crate::sandbox) fn take_touched(&mut self) -> Touched {
        std::mem::replace(&mut self.touched, Touched::Some(BTreeSet::new()))
    }
}

/// Whether a label is that of a host with a name. Host names have no spaces.
pub(in crate::sandbox) fn is_label_of(label: &str, name: &str) -> bool {
    label.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

impl Deref for Hosts {
    type Target = BTreeMap<String, EmulatedHost>;

    fn deref(&self) -> &Self::Target {
        &self.machines
    }
}

impl Index<&str> for Hosts {
    type Output = EmulatedHost;

    /// # Panics
    ///
    /// If there is no host with the name.
    fn index(&self, name: &str) -> &EmulatedHost {
        match self.get(name) {
            Some(host) => host,
            None => &self.machines[name],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::ArmId;
    use crate::resource::azure::MachineRole;

    fn existing(name: &str, last: u8, mac: Option<&str>) -> EmulatedHost {
        let kind = HostKind::Existing { mac: mac.map(str::to_owned) };
        EmulatedHost::bare(name, [10, 60, 1, last].into(), kind, MachineRole::Worker)
    }

    fn vm(name: &str) -> EmulatedHost {
        let kind = HostKind::Vm {
            id: ArmId::new(format!(
                "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/{name}"
            )),
            instance: "1".to_owned(),
            size: String::new(),
            is_resizing: false,
            is_stopped: false,
        };
        EmulatedHost::bare(name, [10, 50, 1, 4].into(), kind, MachineRole::Worker)
    }

    #[test]
    fn two_machines_of_one_name_are_both_held() {
        let mut hosts = Hosts::default();
        assert_eq!(hosts.insert(vm("a")), "a");
        assert_eq!(hosts.insert(vm("a-b")), "a-b");
        assert_eq!(hosts.insert(existing("a", 5, Some("52:54:00:00:00:05"))), "a at 10.60.1.5");
        assert_eq!(hosts.named("a").count(), 2);
        hosts.get_labelled_mut("a at 10.60.1.5").unwrap().worker.registered = true;
        assert_eq!(hosts["a"].ip, std::net::Ipv4Addr::new(10, 60, 1, 5), "it serves the Node");
        let text = serde_json::to_string(&hosts).unwrap();
        let read: Hosts = serde_json::from_str(&text).unwrap();
        assert_eq!(read.named("a").count(), 2);
        hosts.remove("a");
        assert_eq!(hosts.named("a").count(), 1);
    }

    #[test]
    fn an_existing_machine_keeps_its_state_under_another_name() {
        let mut hosts = Hosts::default();
        hosts.insert(existing("a", 5, Some("52:54:00:00:00:05")));
        hosts.insert(existing("b", 6, Some("52:54:00:00:00:06")));
        assert!(hosts.rename_by_mac("52:54:00:00:00:05", "b"));
        assert!(hosts.rename_by_mac("52:54:00:00:00:06", "a"));
        assert!(!hosts.rename_by_mac("52:54:00:00:00:07", "a"));
        assert_eq!([hosts["a"].ip.octets()[3], hosts["b"].ip.octets()[3]], [6, 5]);
        assert_eq!(hosts.len(), 2);
    }
}
