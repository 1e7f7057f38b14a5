//! Checks everything that an apply of the topology needs, from facts alone.
//!
//! Each check is about one thing, has the findings of that thing, and is not passed if its
//! facts could not be read: what a missing permission hides is a gap of that check and of no
//! other.

mod capacity;
mod locks;
mod permissions;
mod policies;
mod registrations;
mod services;
mod tailnet;
mod types;

pub use types::{Check, CheckArea, ReadinessInput, ReadinessStatus, region_of, subscription_of};

/// All checks, by service.
pub fn check(input: ReadinessInput<'_>) -> Vec<Check> {
    let mut checks =
        vec![services::azure(input), permissions::check(input), registrations::check(input)];
    checks.extend(capacity::check(input));
    checks.push(services::version(input));
    checks.push(policies::check(input));
    checks.push(locks::check(input));
    checks.push(services::other_topologies(input));
    checks.extend(tailnet::check(input));
    checks.extend([services::cluster(input), services::lease(input)]);
    checks.extend([services::hosts(input), services::clocks(input), services::plan(input)]);
    checks
}
