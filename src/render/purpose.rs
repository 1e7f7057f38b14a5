//! What a plan is shown for.

use schemars::JsonSchema;
use serde::Serialize;

/// What a plan is shown for; the renderers differ only in their headings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To be applied.
    #[default]
    Plan,
    /// To tell how the world differs; nothing is to be applied.
    Drift,
    /// To take everything away.
    Destroy,
    /// To make workers anew that were asked for by name.
    Repave,
    /// To restart workers that were asked for by name.
    Reboot,
}

impl Purpose {
    /// The line above the changes.
    pub fn heading(self, topology: &str) -> String {
        match self {
            Self::Plan => format!("Changes that make the world match the topology `{topology}`:"),
            Self::Drift => format!("The world differs from the topology `{topology}`:"),
            Self::Destroy => format!("Everything of the topology `{topology}` goes away:"),
            Self::Repave => format!("Workers of the topology `{topology}` are made anew:"),
            Self::Reboot => format!("Workers of the topology `{topology}` are rebooted:"),
        }
    }

    /// The last line where there is nothing.
    pub fn nothing(self) -> &'static str {
        match self {
            Self::Plan => "No changes. The world matches the topology.",
            Self::Drift => "No drift. The world matches the topology.",
            Self::Destroy => "Nothing to destroy. Nothing of the topology is left.",
            Self::Repave | Self::Reboot => "Nothing to do to these workers.",
        }
    }

    /// The word in front of the sum.
    pub fn sum(self) -> &'static str {
        match self {
            Self::Plan | Self::Destroy | Self::Repave | Self::Reboot => "Plan",
            Self::Drift => "Drift",
        }
    }
}
