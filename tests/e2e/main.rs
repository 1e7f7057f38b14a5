//! The complete cycle on a sandbox: topology → plan → apply → no changes → drift → repair →
//! destroy, with the clients that access the real services.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod absence;
mod adoption;
mod announced_losses;
mod block_edits;
mod canonical_state;
mod checks;
mod connectivity;
mod deployment_makespan;
mod destroy;
mod device_ownership;
mod disruption;
mod edits;
mod end_state;
mod exclusive_claims;
mod executor;
mod faults;
mod first_deployment;
mod foreign_contents;
mod harness;
mod host_effects;
mod ignore;
mod kill;
mod lease;
mod live_check;
mod live_lints;
mod makespan;
mod node_pools;
mod observer;
mod package_downloads;
mod pipeline;
mod pool_replacements;
mod protection;
mod protection_records;
mod reachability;
mod readdressing;
mod removals;
mod repeat;
mod replacements;
mod rollout;
mod router_devices;
mod rules;
mod saved_plans;
mod schema_matrix;
mod service_errors;
mod services;
mod tokens;
mod undone_changes;
mod unreliable;
mod upgrades;
mod watch;
mod workers;
