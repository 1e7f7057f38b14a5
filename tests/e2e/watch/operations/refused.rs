//! Operations that cannot run are refused with a condition, and nothing is touched.

use super::{
    FIRST, PROFILE, SECOND, boots, condition, create, ended, events_about, manifest, operation,
    phase, reasons, request, uid,
};
use crate::harness::Deployment;
use crate::watch::{watched, watching};

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_run_are_refused_with_reason_and_message() {
    let deployment = Deployment::example_applied().await;
    let protected = watched("")
        .replace(&format!("name = \"{SECOND}\""), &format!("name = \"{SECOND}\"\nprotect = true"));
    deployment.edited(&protected).iterate().await;
    let uids = [uid(&deployment, FIRST), uid(&deployment, SECOND)];
    let cases = [
        (
            "unknown-server",
            "stargate-aks-e2e-2-worker-3",
            "repave",
            PROFILE,
            "UnknownServer",
            "did you mean stargate-aks-e2e-2-worker-",
        ),
        ("unknown-profile", FIRST, "repave", "missing", "UnknownProfile", "no profile missing"),
        ("a-join", FIRST, "join", PROFILE, "UnsupportedOperation", "only repave and reboot"),
        ("protected-repave", SECOND, "repave", PROFILE, "Protected", "protect = true"),
        ("protected-reboot", SECOND, "reboot", PROFILE, "Protected", "protect = true"),
    ];
    watching(&deployment, &protected, async |watch| {
        watch.settles().await;
        for (name, server, operation, profile, ..) in cases {
            create(&deployment, manifest(name, server, operation, profile)).await;
        }
        // One that can run is not kept by those that cannot.
        request(&deployment, "good", FIRST, "reboot").await;
        ended(&deployment, &cases.map(|(name, ..)| name)).await;
        ended(&deployment, &["good"]).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    for (name, .., reason, part) in cases {
        assert_eq!(phase(&deployment, name), "Refused", "{name}");
        let (status, found, message) = condition(&deployment, name, "Stalled");
        assert_eq!((status.as_str(), found.as_str()), ("True", reason), "{name}: {message}");
        assert!(message.contains(part), "{name}: {message}");
        assert_eq!(condition(&deployment, name, "Reconciling").0, "False", "{name}");
        let status = operation(&deployment, name)["status"].clone();
        assert_eq!((&status["attempts"], &status["startTime"]), (&0.into(), &().into()), "{name}");
        assert_eq!(events_about(&deployment, "Operation", name), reasons(&["Refused"]), "{name}");
    }
    assert_eq!([uid(&deployment, FIRST), uid(&deployment, SECOND)], uids);
    assert_eq!((boots(&deployment, FIRST), boots(&deployment, SECOND)), (1, 0));
    assert_eq!(phase(&deployment, "good"), "Succeeded");
}

/// A fact that the plan cannot know is no reason to refuse: the Operation waits.
#[tokio::test(start_paused = true)]
async fn an_operation_waits_while_live_state_cannot_be_read() {
    use stargate::provider::http::Api;
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        deployment.sandbox.change(|sandbox, _| sandbox.down.insert(Api::Tailscale));
        request(&deployment, "later", FIRST, "reboot").await;
        super::until("it waits", || phase(&deployment, "later") == "Pending").await;
        super::until("it says why", || {
            condition(&deployment, "later", "Reconciling").1 == "NotPlanned"
        })
        .await;
        assert_eq!(boots(&deployment, FIRST), 0);
        deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
        ended(&deployment, &["later"]).await;
    })
    .await;
    assert_eq!((phase(&deployment, "later").as_str(), boots(&deployment, FIRST)), ("Succeeded", 1));
}
