//! Real clouds without what they ask for. Nothing here reaches a network.

use super::location::{EXAMPLE, Ran, TestFolder};

/// Runs `plan` against the real clouds, with these variables and no way out.
fn plan(location: &TestFolder, variables: &[(&str, &str)]) -> Ran {
    let mut command = location.command("plan");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    Ran::of(command.envs(variables.iter().copied()))
}

const TAILSCALE: (&str, &str) = ("TAILSCALE_API_KEY", "tskey-api-marked");

#[test]
fn what_is_missing_is_named() {
    let location = TestFolder::new();
    let before = location.contents();
    plan(&location, &[]).fails(1, "SG0603", "TAILSCALE_API_KEY");
    let half = [("TAILSCALE_CLIENT_ID", "marked")];
    plan(&location, &half).fails(1, "SG0603", "TAILSCALE_CLIENT_SECRET");
    let half = [TAILSCALE, ("AZURE_CLIENT_SECRET", "marked"), ("AZURE_CLIENT_ID", "marked")];
    let ran = plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert!(!ran.err.contains("marked"), "{}", ran.err);
    let half = [TAILSCALE, ("AZURE_FEDERATED_TOKEN_FILE", "marked")];
    plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert_eq!(location.contents(), before);
}

#[test]
fn a_subscription_is_needed() {
    let topology: String = EXAMPLE
        .lines()
        .filter(|line| !line.starts_with("subscription"))
        .collect::<Vec<_>>()
        .join("\n");
    let location = TestFolder::with(&topology);
    plan(&location, &[TAILSCALE]).fails(1, "SG0601", "AZURE_SUBSCRIPTION_ID");
    location.run("plan --sandbox").exits(0);
}

#[test]
fn a_public_key_is_needed() {
    let location = TestFolder::new();
    plan(&location, &[TAILSCALE]).fails(1, "SG0115", "ssh-keygen");
}
