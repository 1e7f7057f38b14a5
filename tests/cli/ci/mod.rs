//! The CI templates of `examples/ci`: their shell lines are taken from the YAML as they
//! stand, and run against the sandbox. Programs that talk to a platform, to Azure or to
//! Tailscale are replaced by files in `stubs`, which record their calls.

mod azure_devops;
mod expressions;
mod github;
mod github_job;
mod gitlab;
mod runner;
mod session;
mod templates;
