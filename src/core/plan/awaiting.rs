//! Changes that are left out of a plan because they need approval.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Action;
use crate::diagnostics::counted;
use crate::resource::Address;

/// A change that is not made without approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitingApproval {
    /// The resource.
    pub address: Address,
    /// The action that awaits approval.
    pub action: Action,
    /// Why it is not done without approval.
    pub reason: ApprovalReason,
    /// The digest of the resource, the action and the desired values.
    #[serde(default)]
    pub digest: String,
}

/// Why a change awaits approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "because")]
pub enum ApprovalReason {
    /// The topology permits no changes without approval.
    ReportOnly,
    /// It is more than a change of routes in place, which is all that the topology
    /// permits.
    NotARoute,
    /// It replaces or deletes a machine, a worker, a node pool or a cluster.
    RemovesMachine,
    /// It takes over an object that the topology does not own.
    TakesOver,
    /// It removes the record of an object's protection.
    RemovesProtection,
    /// It takes a security group off a network interface.
    RemovesSecurityGroup,
    /// It creates a part of the deployment after another process destroyed it.
    AfterDestroy,
    /// It depends on a change that awaits approval, or changes the routes to the machine that
    /// this change creates or deletes.
    DependsOn {
        /// The resource of the missing change.
        address: Address,
    },
    /// Without the changes that await approval it would make pairs of nodes unreachable.
    LosesPairs {
        /// How many.
        count: u64,
    },
    /// Some of the changes would make pairs of nodes unreachable, and it is not known whether
    /// this one would.
    MayLosePairs {
        /// How many.
        count: u64,
    },
    /// With it more would be removed within ten minutes than the topology permits.
    TooManyRemovals,
    /// Too many reconciles failed within ten minutes.
    TooManyFailures,
}

impl fmt::Display for ApprovalReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReportOnly => formatter.write_str("`[watch] apply` is \"none\""),
            Self::NotARoute => formatter.write_str("`[watch] apply` is \"routes\""),
            Self::RemovesMachine => formatter.write_str("it replaces or deletes a machine"),
            Self::TakesOver => formatter.write_str("it adopts an object"),
            Self::RemovesProtection => formatter.write_str("it removes a protection"),
            Self::RemovesSecurityGroup => {
                formatter.write_str("it removes a security group from an interface")
            }
            Self::AfterDestroy => formatter.write_str("the topology was destroyed"),
            Self::DependsOn { address } => write!(formatter, "it depends on {address}"),
            Self::LosesPairs { count } => {
                let pairs = counted(*count, "pair");
                write!(formatter, "it would make {pairs} of nodes unreachable")
            }
            Self::MayLosePairs { count } => {
                let pairs = counted(*count, "pair");
                write!(
                    formatter,
                    "changes like this one would make {pairs} of nodes unreachable, and it is \
                     unknown which of them"
                )
            }
            Self::TooManyRemovals => {
                formatter.write_str("it exceeds `[watch] max_removals` within ten minutes")
            }
            Self::TooManyFailures => {
                formatter.write_str("too many reconciles failed within ten minutes")
            }
        }
    }
}
