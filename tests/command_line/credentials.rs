//! Real clouds without what they ask for. Nothing here reaches a network.

use super::place::{EXAMPLE, Place, Ran};

/// Runs `plan` against the real clouds, with these variables and no way out.
fn plan(place: &Place, variables: &[(&str, &str)]) -> Ran {
    let mut command = place.command("plan");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    Ran::of(command.envs(variables.iter().copied()))
}

const TAILSCALE: (&str, &str) = ("TAILSCALE_API_KEY", "tskey-api-marked");

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let before = place.contents();
    plan(&place, &[]).fails(1, "SG0603", "TAILSCALE_API_KEY");
    let half = [("TAILSCALE_CLIENT_ID", "marked")];
    plan(&place, &half).fails(1, "SG0603", "TAILSCALE_CLIENT_SECRET");
    let half = [TAILSCALE, ("AZURE_CLIENT_SECRET", "marked"), ("AZURE_CLIENT_ID", "marked")];
    let ran = plan(&place, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert!(!ran.err.contains("marked"), "{}", ran.err);
    let half = [TAILSCALE, ("AZURE_FEDERATED_TOKEN_FILE", "marked")];
    plan(&place, &half).fails(1, "SG0601", "AZURE_TENANT_ID is not");
    assert_eq!(place.contents(), before);
}

#[test]
fn a_subscription_is_needed() {
    let topology: String = EXAMPLE
        .lines()
        .filter(|line| !line.starts_with("subscription"))
        .collect::<Vec<_>>()
        .join("\n");
    let place = Place::with(&topology);
    plan(&place, &[TAILSCALE]).fails(1, "SG0601", "AZURE_SUBSCRIPTION_ID");
    place.run("plan --sandbox").exits(0);
}

#[test]
fn a_public_key_is_needed() {
    let place = Place::new();
    plan(&place, &[TAILSCALE]).fails(1, "SG0115", "ssh-keygen");
}
