//! Real services without credentials. These tests send no requests.

use super::location::{EXAMPLE, Ran, TestFolder};

/// Runs `plan` against the real services, with these variables and unusable proxies.
fn plan(location: &TestFolder, variables: &[(&str, &str)]) -> Ran {
    let mut command = location.command("plan");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    Ran::of(command.envs(variables.iter().copied()))
}

const TAILSCALE: (&str, &str) = ("TAILSCALE_API_KEY", "tskey-api-marked");

#[test]
fn missing_credentials_are_named() {
    let location = TestFolder::new();
    let before = location.contents();
    plan(&location, &[]).fails(1, "SG0603", "TAILSCALE_API_KEY");
    let half = [("TAILSCALE_CLIENT_ID", "marked")];
    plan(&location, &half).fails(1, "SG0603", "TAILSCALE_OAUTH_CLIENT_SECRET");
    let half = [TAILSCALE, ("AZURE_CLIENT_SECRET", "marked"), ("AZURE_CLIENT_ID", "marked")];
    let ran = plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert!(!ran.err.contains("marked"), "{}", ran.err);
    let half = [TAILSCALE, ("AZURE_FEDERATED_TOKEN_FILE", "marked")];
    plan(&location, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert_eq!(location.contents(), before);
}

#[test]
fn a_subscription_is_required() {
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
fn a_public_key_is_required() {
    let location = TestFolder::new();
    plan(&location, &[TAILSCALE]).fails(1, "SG0115", "ssh-keygen");
}
