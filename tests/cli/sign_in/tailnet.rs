//! Credentials of the tailnet: API access tokens and OAuth clients.

use super::methods::Method;
use super::service::{Environment, Service, environment};

fn with(service: &Service, tailnet: &[(&str, &str)]) -> (Environment, Environment) {
    let mut right = Method::Secret.register(service);
    let wrong = tailnet.iter().map(|(name, value)| match name.ends_with("_ID") {
        true => (*name, *value),
        false => (*name, "tskey-wrong"),
    });
    let wrong: Vec<(&str, &str)> = wrong.collect();
    let mut other = right.clone();
    right.extend(environment(tailnet));
    other.extend(environment(&wrong));
    (right, other)
}

#[test]
fn the_tailnet_refuses_wrong_and_revoked_credentials() {
    for kind in ["api-key", "oauth-client"] {
        let service = Service::start(None);
        let made = service.identity(&format!("router --tailscale {kind}"));
        let text = |name: &str| made[name].as_str().unwrap_or_default();
        let secret = text("secret");
        let (right, wrong) = match kind {
            "api-key" => with(&service, &[("TAILSCALE_API_KEY", secret)]),
            _ => {
                let mut both = with(
                    &service,
                    &[
                        ("TAILSCALE_OAUTH_CLIENT_ID", text("client_id")),
                        ("TAILSCALE_OAUTH_CLIENT_SECRET", secret),
                    ],
                );
                both.0.extend(environment(&[("TAILSCALE_API_KEY", "")]));
                both.1.extend(environment(&[("TAILSCALE_API_KEY", "")]));
                both
            }
        };
        let ran = service.run("plan", &right);
        assert_eq!(ran.code, Some(0), "{kind}: {}", ran.text);
        let refused = |variables: &Environment| {
            let ran = service.run("plan", variables);
            assert_ne!(ran.code, Some(0), "{kind}: {}", ran.text);
            assert!(ran.text.contains("SG0604"), "{kind}: {}", ran.text);
            assert!(ran.total.as_secs() <= 15, "{kind}: {:?}", ran.total);
            assert!(!ran.text.contains(secret), "{kind}: {}", ran.text);
        };
        refused(&wrong);
        service.identity(&format!("router --tailscale {kind} --disable"));
        refused(&right);
    }
}
