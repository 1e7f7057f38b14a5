//! Refuses some calls of the clients. All others take effect.

use std::sync::Arc;

use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

/// Refuses the calls that match.
#[derive(Debug)]
pub(crate) struct RefusedCalls {
    status: u16,
    matches: fn(&Call) -> bool,
}

impl RefusedCalls {
    /// Refuses each matching call with a status.
    pub(crate) fn of(status: u16, matches: fn(&Call) -> bool) -> Arc<Self> {
        Arc::new(Self { status, matches })
    }
}

impl FaultInjector for RefusedCalls {
    fn before(&self, call: &Call) -> Disposition {
        match (self.matches)(call) {
            true => Disposition::Refuse { status: self.status, retry_after: None },
            false => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Whether a call is a request whose path has this part.
pub(crate) fn is_request(call: &Call, part: &str) -> bool {
    matches!(call, Call::Request { path, .. } if path.contains(part))
}

/// Whether a call is a deletion whose path has this part.
pub(crate) fn is_deletion(call: &Call, part: &str) -> bool {
    let deletes = matches!(call, Call::Request { method, .. } if *method == http::Method::DELETE);
    deletes && is_request(call, part)
}
