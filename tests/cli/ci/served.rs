//! The templates end to end against `sandbox serve`: jobs sign in to Azure and to the tailnet
//! with the tokens of their platform, reach routers through the proxy of the tailnet, and run
//! the program without `--sandbox`.

use std::process::{Child, Command};

use serde_json::Value;

use super::azure_devops::AzureDevOps;
use super::gateway::Gateway;
use super::github_job::GitHub;
use super::gitlab::{GitLab, Pipeline};
use super::runner::Runner;
use crate::sarif_schema;
use crate::sign_in::issuer::{self, ENTRA_AUDIENCE, ISSUER, JOB, SUBJECT};
use crate::sign_in::service::{serve, topology_at};

const TOPOLOGY: &str = "stargate-aks-e2e-2";
const ROUTERS: [&str; 2] = ["stargate-aks-e2e-2-dc-router", "stargate-aks-e2e-2-router"];
/// The public key of the sandbox's machines.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlU2FuZGJveEtleU5vdEZvclVzZUFueVdo sandbox\n";
const SSH_KEY_SECRET: &str = "https://lab.vault.azure.net/secrets/ssh";
const COMMITS: [&str; 2] =
    ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];

/// A served sandbox with an applied deployment, and the federated identities of a job.
struct Served {
    process: Child,
    gateway: Gateway,
    /// The tenant, and the client IDs of Azure and of the tailnet.
    tenant: String,
    azure: String,
    tailnet: String,
}

impl Served {
    /// Serves the sandbox of a runner, whose jobs use it from now on.
    fn start(runner: &mut Runner) -> Self {
        let (process, endpoints) = serve(&runner.folder, None);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (azure_url, tailscale_url) = (text(&endpoints["azure"]), text(&endpoints["tailscale"]));
        let certificate = text(&endpoints["certificate"]);
        let certificate = runner.folder.path(&certificate).display().to_string();
        let gateway = Gateway::start(runner.folder.sandbox(), TOPOLOGY);
        runner.folder.write("temp/.ssh/id_ed25519.pub", PUBLIC_KEY);
        runner.folder.write("stub/state/ssh-key", &gateway.private_key);
        runner.folder.write("stargate.toml", topology_at(&azure_url));
        let curl = Command::new("sh").args(["-c", "command -v curl"]).output().expect("sh runs");
        let curl = String::from_utf8(curl.stdout).expect("UTF-8");
        std::os::unix::fs::symlink(curl.trim(), runner.folder.path("stub/curl")).expect("a link");
        runner.set(&[
            ("SERVED", "1"),
            ("AZURE_AUTHORITY_HOST", &azure_url),
            ("TAILSCALE_BASE_URL", &tailscale_url),
            ("SSL_CERT_FILE", &certificate),
            ("STARGATE_SOCKS_PORT", &gateway.port.to_string()),
            ("STARGATE_SSH_KEY_SECRET", SSH_KEY_SECRET),
        ]);
        own_tag(&tailscale_url, &certificate);
        let registered = |name: &str, options: &str| -> Value {
            let certificate =
                format!("{}/tests/certificates/other.pem", env!("CARGO_MANIFEST_DIR"));
            let line = format!(
                "sandbox identity {name} {options} --issuer {ISSUER} --subject {SUBJECT} \
                 --certificate {certificate}"
            );
            serde_json::from_str(&runner.folder.run(&line).exits(0).out).expect("an identity")
        };
        let azure = registered("job", "--cluster-admin");
        let tailnet = registered("device", "--tailscale federated-identity");
        runner.folder.run("sandbox identity other --tailscale api-key").exits(0);
        Self {
            process,
            gateway,
            tenant: text(&azure["tenant_id"]),
            azure: text(&azure["client_id"]),
            tailnet: text(&tailnet["client_id"]),
        }
    }

    /// Asserts that a job signed in, probed both routers and ran the program on the services.
    #[track_caller]
    fn was_used(&self, runner: &Runner) {
        let mut probed = self.gateway.probed();
        probed.sort();
        probed.dedup();
        assert_eq!(probed, ROUTERS);
        let calls = runner.calls();
        for part in ["/oauth2/v2.0/token", "/api/v2/oauth/token-exchange", "/tailnet/-/keys"] {
            assert!(calls.iter().any(|call| call.ends_with(part)), "no {part} in {calls:?}");
        }
        let program = calls.iter().filter(|call| call.starts_with("stargate "));
        assert!(program.clone().count() > 0, "{calls:?}");
        assert!(!program.clone().any(|call| call.contains("--sandbox")), "{calls:?}");
    }

    /// Refuses the identity of the job from now on.
    fn disable_identity(&self, runner: &Runner) {
        runner.folder.run("sandbox identity job --disable").exits(0);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Gives the tag of CI jobs an owner, as the README of the templates asks for.
fn own_tag(url: &str, certificate: &str) {
    let policy = format!(r#"{{"tagOwners": {{"tag:ci": [], "tag:stargate-{TOPOLOGY}": []}}}}"#);
    let sent = Command::new("curl")
        .args(["--fail", "--silent", "--cacert", certificate, "--data", &policy])
        .args(["--header", "Authorization: Bearer sandbox"])
        .arg(format!("{url}/api/v2/tailnet/-/acl"))
        .output()
        .expect("curl runs");
    assert!(sent.status.success(), "{sent:?}");
}

#[test]
fn github_plans_applies_and_reports_drift_against_served_services() {
    let mut github = GitHub::new();
    let served = Served::start(&mut github.runner);
    github.variables = [
        ("vars.AZURE_CLIENT_ID", served.azure.as_str()),
        ("vars.AZURE_TENANT_ID", &served.tenant),
        ("vars.TAILSCALE_CLIENT_ID", &served.tailnet),
        ("vars.SSH_KEY_SECRET", SSH_KEY_SECRET),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    github.token_service = [issuer::serve(), JOB.to_owned()];
    github.runner.inject("route-missing");
    github.plan(COMMITS[0]).exits(0);
    served.was_used(&github.runner);
    assert!(github.plan_comment().contains("Plan: 0 to add, 1 to change"));
    github.runner.inject("tailnet-route-unapproved");
    github.plan(COMMITS[1]).exits(0);
    let comment = github.plan_comment();
    assert!(comment.contains("Plan: 0 to add, 2 to change"), "{comment}");
    // What the review does not cover stays for the drift report.
    github.runner.inject("nic-forwarding-off");
    github.merge(COMMITS[1]).exits(0);
    served.was_used(&github.runner);
    let result = github.apply_comment();
    assert!(result.contains("### Applied\n") && result.contains("2 changes made."), "{result}");
    github.drift().exits(0);
    let issues = github.runner.state("issues");
    let body = issues[0]["body"].as_str().expect("a text");
    assert!(body.contains("Drift: 0 to add, 1 to change"), "{body}");
    assert!(body.contains("network-interface/"), "{body}");
    github.report_to("code-scanning");
    github.drift().exits(0);
    let report = github.runner.folder.read("stub/state/code-scanning");
    let log: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(sarif_schema::violations(&log), Vec::<String>::new());
    assert!(report.contains("network-interface/"), "{report}");
    github.report_to("issue");
    served.disable_identity(&github.runner);
    let refused = github.drift().exits(1);
    assert!(refused.step.err.contains(": AADSTS7000112: "), "{refused:?}");
    assert_eq!(github.runner.state("issues"), issues, "an unread source changes no report");
}

#[test]
fn gitlab_plans_applies_and_reports_drift_against_served_services() {
    let mut gitlab = GitLab::new();
    let served = Served::start(&mut gitlab.runner);
    gitlab.runner.set(&[
        ("AZURE_CLIENT_ID", &served.azure),
        ("AZURE_TENANT_ID", &served.tenant),
        ("TAILSCALE_CLIENT_ID", &served.tailnet),
    ]);
    let audience = format!("api.tailscale.com/{}", served.tailnet);
    gitlab.tokens = [ENTRA_AUDIENCE, &audience].map(|it| issuer::token_for(it, SUBJECT));
    gitlab.runner.inject("route-missing");
    for _ in 0..2 {
        gitlab.job("stargate-plan", Pipeline::MergeRequest).exits(0);
    }
    served.was_used(&gitlab.runner);
    let notes = gitlab.runner.state("notes");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].to_string().contains("Plan: 0 to add, 1 to change"), "{notes:?}");
    gitlab.job("stargate-plan", Pipeline::Push).exits(0);
    gitlab.runner.inject("tailnet-route-unapproved");
    gitlab.job("stargate-apply", Pipeline::Push).exits(0);
    served.was_used(&gitlab.runner);
    gitlab.job("stargate-drift", Pipeline::Schedule).exits(2);
    let issues = gitlab.runner.state("issues");
    let text = issues[0]["description"].as_str().expect("a text");
    assert!(text.contains("approved-routes/") && !text.contains("route-table/"), "{text}");
    // A token for another service is not exchanged.
    gitlab.tokens.swap(0, 1);
    let refused = gitlab.job("stargate-drift", Pipeline::Schedule).exits(1);
    assert!(refused.err.contains(": AADSTS700212: "), "{refused:?}");
    assert_eq!(gitlab.runner.state("issues"), issues);
}

#[test]
fn azure_devops_plans_applies_and_reports_drift_against_served_services() {
    let mut devops = AzureDevOps::new();
    let served = Served::start(&mut devops.runner);
    devops.runner.set(&[("TAILSCALE_CLIENT_ID", &served.tailnet)]);
    for (name, value) in &mut devops.signed_in {
        *value = match *name {
            "SYSTEM_ACCESSTOKEN" => JOB.to_owned(),
            "SYSTEM_OIDCREQUESTURI" => issuer::serve().replace("?job=1", ""),
            "AZURESUBSCRIPTION_CLIENT_ID" => served.azure.clone(),
            "AZURESUBSCRIPTION_TENANT_ID" => served.tenant.clone(),
            _ => value.clone(),
        };
    }
    devops.runner.inject("route-missing");
    for _ in 0..2 {
        devops.job("plan", "plan", true).exits(0);
    }
    served.was_used(&devops.runner);
    let threads = devops.runner.state("threads");
    assert_eq!(threads.len(), 1, "{threads:?}");
    assert!(threads[0].to_string().contains("Plan: 0 to add, 1 to change"), "{threads:?}");
    devops.job("plan", "plan", false).exits(0);
    devops.runner.inject("tailnet-route-unapproved");
    devops.job("apply", "apply", false).exits(0);
    served.was_used(&devops.runner);
    devops.job("drift", "drift", false).exits(0);
    let items = devops.runner.state("items");
    let fields = items[0]["fields"].to_string();
    assert!(fields.contains("approved-routes/") && !fields.contains("route-table/"), "{fields}");
}
