//! All machines, and which of them somebody may have changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::Host;

/// The machines of a world by host name.
///
/// Whoever takes one to change it leaves its name here, so that what follows
/// from a change need be drawn for that machine alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hosts {
    machines: BTreeMap<String, Host>,
    #[serde(skip)]
    touched: Touched,
}

/// Which machines may have changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Touched {
    /// Nobody has looked yet: any of them.
    #[default]
    All,
    /// Those of these names, some of which may be gone, and the Nodes of those.
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
    /// A machine, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Host> {
        let host = self.machines.get_mut(name)?;
        self.touched.note(name);
        Some(host)
    }

    /// Puts a machine in the place of whatever has its name.
    pub fn insert(&mut self, host: Host) {
        self.touched.note(&host.name);
        self.machines.insert(host.name.clone(), host);
    }

    /// Takes a machine away.
    pub fn remove(&mut self, name: &str) -> Option<Host> {
        let host = self.machines.remove(name)?;
        self.touched.note(name);
        if let Some(configuration) = &host.worker.configuration {
            self.touched.note(&configuration.node_name);
        }
        Some(host)
    }

    /// A machine, for those who draw the consequences of its change.
    pub(in crate::sandbox) fn for_settling(&mut self, name: &str) -> Option<&mut Host> {
        self.machines.get_mut(name)
    }

    /// Which machines may have changed since this was last asked.
    pub(in crate::sandbox) fn take_touched(&mut self) -> Touched {
        std::mem::replace(&mut self.touched, Touched::Some(BTreeSet::new()))
    }
}

impl Deref for Hosts {
    type Target = BTreeMap<String, Host>;

    fn deref(&self) -> &Self::Target {
        &self.machines
    }
}
