//! The permissions that the user gave a saved plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::plan::PlanOptions;
use crate::resource::Address;
use crate::topology::names::TopologyName;

/// Permissions that the plan was made with. `--allow-loss` and `--upgrade-patches` are
/// part of the plan itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// Objects that may be taken over.
    pub adopt: BTreeSet<Address>,
    /// The former name of the topology, whose objects may be adopted.
    pub adopt_from: Option<TopologyName>,
    /// Resources that may be replaced with everything in them.
    pub replace: BTreeSet<Address>,
}

impl Permissions {
    /// The permissions among the options of a plan.
    pub fn of(options: &PlanOptions) -> Self {
        Self {
            adopt: options.adopt.clone(),
            adopt_from: options.adopt_from.clone(),
            replace: options.replace.clone(),
        }
    }

    /// Adds the permissions to the options of a plan; a name that the options have stays.
    pub fn add_to(&self, options: &mut PlanOptions) {
        options.adopt.extend(self.adopt.iter().cloned());
        options.replace.extend(self.replace.iter().cloned());
        options.adopt_from = options.adopt_from.take().or_else(|| self.adopt_from.clone());
    }

    /// The options on a command line of the permissions that these options lack.
    pub fn missing_from(&self, options: &PlanOptions) -> Vec<String> {
        let adopted = self.adopt.difference(&options.adopt).map(|it| format!("--adopt {it}"));
        let former = self.adopt_from.iter().filter(|it| options.adopt_from.as_ref() != Some(*it));
        let former = former.map(|it| format!("--adopt-from {it}"));
        let replaced = self.replace.difference(&options.replace);
        let replaced = replaced.map(|it| format!("--replace {it}"));
        adopted.chain(former).chain(replaced).collect()
    }
}
