//! The purpose of a plan: which command it is rendered for.

use schemars::JsonSchema;
use serde::Serialize;

use super::text::counted;
use crate::plan::Plan;

/// The command that a plan is rendered for. It selects headings and summaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// `plan` and `apply`: make the infrastructure match the topology.
    #[default]
    Plan,
    /// `drift`: report differences; nothing is applied.
    Drift,
    /// `destroy`: delete everything that the topology owns.
    Destroy,
    /// `repave`: reprovision the named workers.
    Repave,
    /// `reboot`: restart the named workers.
    Reboot,
}

impl Purpose {
    /// The line above the changes.
    pub fn heading(self, topology: &str) -> String {
        match self {
            Self::Plan => {
                format!("Changes to make the infrastructure match the topology `{topology}`:")
            }
            Self::Drift => format!("The infrastructure differs from the topology `{topology}`:"),
            Self::Destroy => {
                format!("`stargate destroy` deletes the resources of the topology `{topology}`:")
            }
            Self::Repave => format!("Workers of the topology `{topology}` to repave:"),
            Self::Reboot => format!("Workers of the topology `{topology}` to reboot:"),
        }
    }

    /// The last line of a plan without changes.
    pub fn no_changes(self, plan: &Plan) -> String {
        match self {
            Self::Plan => format!("No changes. {}.", matches_topology(plan)),
            Self::Drift => format!("No drift. {}.", matches_topology(plan)),
            Self::Destroy => "No changes. No resources of the topology exist.".to_owned(),
            Self::Repave | Self::Reboot => {
                "No changes. There is nothing to do on these workers.".to_owned()
            }
        }
    }

    /// The word in front of the counts in the last line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Plan | Self::Destroy | Self::Repave | Self::Reboot => "Plan",
            Self::Drift => "Drift",
        }
    }
}

/// The sentence, without its period, that the infrastructure matches the topology, apart
/// from ignored differences. All commands use this wording.
pub fn matches_topology(plan: &Plan) -> String {
    match plan.ignored_differences() {
        0 => "The infrastructure matches the topology".to_owned(),
        count => {
            let ignored = counted(count, "ignored difference");
            format!("The infrastructure matches the topology except for {ignored}")
        }
    }
}
