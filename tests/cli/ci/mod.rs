//! The CI templates of `examples/ci`: their shell lines are taken from the YAML as they
//! stand, and run against the sandbox. Programs that talk to a platform, to Azure or to
//! Tailscale are replaced by files in `stubs`, which record their calls; `served` leaves out
//! the stubs of Azure and Tailscale, and signs in to `sandbox serve`.

mod azure_devops;
mod expressions;
mod gateway;
mod github;
mod github_job;
mod gitlab;
mod router_machine;
mod runner;
mod served;
mod session;
mod templates;
