//! The program as its users run it: the built binary, a folder of its own for
//! each test, an empty environment.

#![expect(clippy::expect_used, reason = "tests fail by panicking")]

mod connectivity;
mod credentials;
mod first_steps;
mod graphs;
mod location;
mod losses;
mod outputs;
mod sandbox_folder;
mod saved_plans;
mod secrets;
#[cfg(unix)]
mod signals;
mod topology_file;
mod usage;
mod workers;
