//! One edit of the topology for each row of the table of changes.

use stargate::sandbox::SandboxState;
use stargate::topology::changes::{ChangeRule, DatacenterKindName, block_rules, field_rules};
use stargate::topology::fields;

use super::document::Assignment;

/// An edit of a field or a block, with its options.
#[derive(Clone, Copy)]
pub(super) struct Edit {
    /// The field or block, where the first assignment does not say it.
    pub(super) field: &'static str,
    /// How the value changes, as in the table of changes.
    pub(super) change: &'static str,
    /// Edits of the topology that is applied before.
    pub(super) start: &'static [Assignment],
    /// The first one is of the field; others keep the topology valid.
    pub(super) set: &'static [Assignment],
    /// The names for `--replace`.
    pub(super) replace: &'static [&'static str],
    /// The user's changes of the infrastructure beforehand.
    pub(super) prepare: fn(&mut SandboxState),
}

impl Edit {
    pub(super) const fn naming(self, replace: &'static [&'static str]) -> Self {
        Self { replace, ..self }
    }

    pub(super) const fn of(self, field: &'static str) -> Self {
        Self { field, ..self }
    }

    pub(super) const fn from(self, start: &'static [Assignment]) -> Self {
        Self { start, ..self }
    }

    pub(super) const fn prepared(self, prepare: fn(&mut SandboxState)) -> Self {
        Self { prepare, ..self }
    }
}

pub(super) const fn edit(change: &'static str, set: &'static [Assignment]) -> Edit {
    Edit { field: "", change, start: &[], set, replace: &[], prepare: |_| {} }
}

/// Any other value.
pub(super) const fn other(set: &'static [Assignment]) -> Edit {
    edit("another value", set)
}

pub(super) const HOST_KEY: &str = "'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'";
pub(super) const SAME_KUBELET: &str = "another profile of the same kubelet";
pub(super) const RULE: &str = "[{ address = 'network-security-group/cloud/*', field = 'rules[policy-*]', \
                    reason = 'a policy', until = '2026-12-31' }]";

/// Gives a machine another address, as its owner does.
pub(super) fn readdress(sandbox: &mut SandboxState, host: &str, address: [u8; 4]) {
    sandbox.hosts.get_mut(host).unwrap().ip = address.into();
}

impl Edit {
    /// The path of the field in the schema, or the block.
    pub(super) fn path(&self) -> String {
        if !self.field.is_empty() {
            return self.field.to_owned();
        }
        let written = self.set[0].0;
        fields::named(written).unwrap_or_else(|| panic!("{written} is no field")).path
    }

    /// The kind of the datacenter that is edited.
    pub(super) fn kind(&self) -> Option<DatacenterKindName> {
        let mut keys = self.set[0].0.split('.');
        match (keys.next(), keys.next()) {
            (Some("datacenters"), Some("cloud" | "sky")) => {
                Some(self.kind_before(DatacenterKindName::Azure))
            }
            (Some("datacenters"), Some(_)) => Some(self.kind_before(DatacenterKindName::Existing)),
            _ => None,
        }
    }

    /// A moved resource has the kind of its old place.
    fn kind_before(&self, kind: DatacenterKindName) -> DatacenterKindName {
        match self.set[0].1.strip_prefix("@datacenters.") {
            Some(from) if from.starts_with("cloud") => DatacenterKindName::Azure,
            Some(_) => DatacenterKindName::Existing,
            None => kind,
        }
    }

    /// The edit as messages name it.
    pub(super) fn name(&self) -> String {
        let kind = self.kind().map_or("", DatacenterKindName::as_str);
        format!("{} ({kind}), {}", self.path(), self.change)
    }

    /// The row of the table for it.
    pub(super) fn rule(&self) -> &'static ChangeRule {
        let path = self.path();
        let is_it = |rule: &&ChangeRule| {
            rule.field == path
                && rule.change == self.change
                && self.kind().is_none_or(|kind| rule.kinds.contains(&kind))
        };
        let mut rules = field_rules().chain(block_rules());
        rules.find(is_it).unwrap_or_else(|| panic!("{} is not in the table", self.name()))
    }
}
