//! The expiry of routers' node keys.

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::Observation;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::tailnet::TailnetDevice;

/// A key that expires sooner is reported, so that it can be renewed in time.
const NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Reports the key of a router that has expired or expires soon. Tailscale switches
/// expiry off for tagged devices, and an administrator can switch it on again.
pub(super) fn check(name: &str, device: &TailnetDevice, observation: &mut Observation) {
    let Some(expires) = device.expires.filter(|_| !device.key_expiry_disabled) else { return };
    let left = expires.duration_since(observation.time);
    if left > NOTICE {
        return;
    }
    let date = expires.to_zoned(TimeZone::UTC).date();
    let (message, remedy) = if left <= SignedDuration::ZERO {
        observation.inventory.expired_keys.insert(name.to_owned());
        (format!("the node key of router {name} expired on {date}"), expired(name))
    } else {
        (
            format!(
                "the node key of router {name} expires on {date}, in {}: its pods then lose \
                 connectivity",
                days(expires, observation.time)
            ),
            "`stargate apply` disables its key expiry; or choose \"Disable key expiry\" for the \
             device in the admin console"
                .to_owned(),
        )
    };
    let failure = Failure::new(Code::RouterKeyExpiry, message, remedy);
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}

fn expired(name: &str) -> String {
    format!(
        "`stargate apply` disables its key expiry; if the device stays offline, run `tailscale up \
         --force-reauth` on {name}, or delete its VM and apply again"
    )
}

fn days(expires: Timestamp, now: Timestamp) -> String {
    match expires.duration_since(now).as_hours() / 24 {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
