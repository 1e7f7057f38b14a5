//! The built program, run in a temporary folder with an empty environment.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod annotations;
#[cfg(unix)]
mod ci;
mod connectivity;
mod counts;
mod credentials;
mod doctor;
mod edited_plans;
mod first_steps;
mod graphs;
mod ignored_drift;
mod location;
mod losses;
mod one_meaning;
mod operations;
mod outputs;
mod pending_edits;
mod permissions;
mod promtool;
mod readme;
mod router_health;
mod sandbox_folder;
mod sarif_schema;
mod saved_plans;
mod secrets;
#[cfg(unix)]
mod sign_in;
#[cfg(unix)]
mod signals;
mod systemd;
mod topology_file;
mod usage;
mod waits;
#[cfg(unix)]
mod watch;
mod watch_folder;
#[cfg(unix)]
mod watch_replicas;
mod width;
mod workers;
