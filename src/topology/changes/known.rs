//! What is known not to be as the table says. The reference prints it, and the test of the
//! table fails once one of them is as the table says: then its entry goes.

use super::{ChangeRule, EXISTING, SiteKind};

/// A change that does not do what the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deviation {
    /// The field or block of the row.
    pub field: &'static str,
    /// The kinds of datacenters that it holds for; empty for all of the row.
    pub kinds: &'static [SiteKind],
    /// The change of the row.
    pub change: &'static str,
    /// What happens instead.
    pub instead: &'static str,
}

impl Deviation {
    /// Whether a row is meant, for a kind of datacenter.
    pub fn concerns(&self, rule: &ChangeRule, kind: Option<SiteKind>) -> bool {
        (self.field, self.change) == (rule.field, rule.change)
            && (self.kinds.is_empty() || kind.is_some_and(|kind| self.kinds.contains(&kind)))
    }
}

const OLD_ADDRESS: &str = "the worker is drained and then looked for at its old address, so that the apply \
                           stops: remove it from the topology, apply, and add it with the other address";

/// Every known deviation.
pub const DEVIATIONS: &[Deviation] = &[
    Deviation {
        field: "azure.subscription",
        kinds: &[],
        change: "another subscription",
        instead: "everything is created again in the other subscription, and what is in the former one \
                  stays: run `stargate destroy` first",
    },
    Deviation {
        field: "tailnet.tag",
        kinds: &[],
        change: "another value",
        instead: "refused (SG0407), because the routers' devices count as foreign without the tag: give \
                  it to them in the admin console first",
    },
    Deviation {
        field: "datacenters.*.workers[].ip",
        kinds: EXISTING,
        change: "the address that the machine has now",
        instead: OLD_ADDRESS,
    },
    Deviation {
        field: "datacenters.*.worker_range.first_ip",
        kinds: EXISTING,
        change: "the address that the machine has now",
        instead: OLD_ADDRESS,
    },
    Deviation {
        field: "[[datacenters.<name>.workers]]",
        kinds: EXISTING,
        change: "moved to a datacenter of the same kind",
        instead: OLD_ADDRESS,
    },
];
