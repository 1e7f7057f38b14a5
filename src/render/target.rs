//! Where a command works.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// The target of a command: the services that it reads and changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PlanTarget {
    /// Where the objects are.
    #[serde(flatten)]
    pub cloud: PlanTargetCloud,
    /// The name of the cluster.
    pub cluster: String,
}

/// The sandbox, or Azure and a tailnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "cloud")]
pub enum PlanTargetCloud {
    /// The sandbox.
    Sandbox,
    /// Azure and a tailnet.
    Azure {
        /// The ID of the subscription.
        subscription: String,
        /// The name of the subscription; null if the credential may not read it.
        subscription_name: Option<String>,
        /// The ID of the tenant; null if the credential may not read it.
        tenant: Option<String>,
        /// The tailnet; `-` is the tailnet of the credential.
        tailnet: String,
    },
}

impl fmt::Display for PlanTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Target: ")?;
        match &self.cloud {
            PlanTargetCloud::Sandbox => formatter.write_str("the sandbox")?,
            PlanTargetCloud::Azure { subscription, subscription_name, tenant, tailnet } => {
                formatter.write_str("Azure subscription ")?;
                if let Some(name) = subscription_name {
                    write!(formatter, "{name} ")?;
                }
                write!(formatter, "({subscription})")?;
                if let Some(tenant) = tenant {
                    write!(formatter, ", tenant {tenant}")?;
                }
                match tailnet.as_str() {
                    "-" => formatter.write_str(", the tailnet of the credential")?,
                    name => write!(formatter, ", tailnet {name}")?,
                }
            }
        }
        write!(formatter, ", cluster {}", self.cluster)
    }
}
