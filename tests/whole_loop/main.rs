//! The whole loop on a world in memory: topology → plan → apply → no changes →
//! drift → mend → destroy, through the clients that talk to the real services.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod checks;
mod destroy;
mod edits;
mod end_state;
mod executor;
mod faults;
mod first_deployment;
mod harness;
mod kill;
mod live_lints;
mod makespan;
mod paths;
mod places;
mod portrait;
mod reachability;
mod repeat;
mod rollout;
mod saved_plans;
mod tokens;
mod unreliable;
mod workers;
