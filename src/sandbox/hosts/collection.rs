//! The collection of hosts, which records the hosts that may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::EmulatedHost;

/// The hosts by name.
///
/// The collection records the name of every host that is accessed mutably, so that controllers
/// reconcile only those.
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

impl Hosts {
    /// A host, mutable and recorded as touched.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut EmulatedHost> {
        let host = self.machines.get_mut(name)?;
        self.touched.note(name);
        Some(host)
    }

    /// Inserts a host, replacing a host of the same name.
    pub fn insert(&mut self, host: EmulatedHost) {
        self.touched.note(&host.name);
        self.machines.insert(host.name.clone(), host);
    }

    /// Removes a host.
    pub fn remove(&mut self, name: &str) -> Option<EmulatedHost> {
        let host = self.machines.remove(name)?;
        self.touched.note(name);
        if let Some(configuration) = &host.worker.configuration {
            self.touched.note(&configuration.node_name);
        }
        Some(host)
    }

    /// A host, mutable and not recorded as touched: for controllers.
    pub(in crate::sandbox) fn get_mut_untracked(
        &mut self,
        name: &str,
    ) -> Option<&mut EmulatedHost> {
        self.machines.get_mut(name)
    }

    /// The hosts that may have changed since the last call.
    pub(in crate::sandbox) fn take_touched(&mut self) -> Touched {
        std::mem::replace(&mut self.touched, Touched::Some(BTreeSet::new()))
    }
}

impl Deref for Hosts {
    type Target = BTreeMap<String, EmulatedHost>;

    fn deref(&self) -> &Self::Target {
        &self.machines
    }
}
