//! The template for GitLab CI, end to end.

use serde_json::Value;

use super::runner::{Runner, Step, template};

const REVISION: &str = "4444444444444444444444444444444444444444";

/// The event that starts a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipeline {
    MergeRequest,
    Push,
    Schedule,
}

pub(super) struct GitLab {
    pub(super) runner: Runner,
    template: Value,
    has_api_token: bool,
    /// The tokens of a job for Azure and for Tailscale.
    pub(super) tokens: [String; 2],
}

impl GitLab {
    pub(super) fn new() -> Self {
        let mut runner = Runner::new();
        let project = runner.folder.path("").display().to_string();
        let project = project.trim_end_matches('/');
        runner.set(&[
            ("CI_PROJECT_DIR", project),
            ("CI_PROJECT_ID", "9"),
            ("CI_API_V4_URL", "https://gitlab.test/api/v4"),
            ("CI_COMMIT_SHA", REVISION),
            ("STARGATE_REPOSITORY", "https://git.example.com/stargate.git"),
            ("STARGATE_REVISION", REVISION),
            ("AZURE_CLIENT_ID", "azure-1"),
            ("AZURE_TENANT_ID", "tenant-1"),
            ("STARGATE_TOPOLOGY", "stargate.toml"),
            ("STARGATE_HOME", &format!("{project}/.stargate-ci")),
        ]);
        let template = template("gitlab/stargate.gitlab-ci.yml");
        assert_eq!(template["variables"]["STARGATE_TOPOLOGY"], "stargate.toml");
        assert_eq!(template["variables"]["STARGATE_HOME"], "$CI_PROJECT_DIR/.stargate-ci");
        let tokens = ["jwt-gitlab-azure", "jwt-gitlab-tailscale"].map(str::to_owned);
        Self { runner, template, has_api_token: true, tokens }
    }

    /// Runs a job; the variables of the artifact of the plan are known to it.
    pub(super) fn job(&self, name: &str, pipeline: Pipeline) -> Step {
        let own = &self.template[name];
        assert_eq!(own["extends"], ".stargate");
        let base = &self.template[".stargate"];
        let tokens = own.get("id_tokens").unwrap_or(&base["id_tokens"]);
        let mut variables: Vec<(&str, String)> = Vec::new();
        for token in tokens.as_object().expect("tokens").keys() {
            variables.push(match token.as_str() {
                "AZURE_ID_TOKEN" => ("AZURE_ID_TOKEN", self.tokens[0].clone()),
                "TAILSCALE_ID_TOKEN" => ("TAILSCALE_ID_TOKEN", self.tokens[1].clone()),
                _ => panic!("unexpected token {token}"),
            });
        }
        if pipeline == Pipeline::MergeRequest {
            variables.push(("CI_MERGE_REQUEST_IID", "7".to_owned()));
        }
        if self.has_api_token {
            variables.push(("STARGATE_API_TOKEN", "api-token".to_owned()));
        }
        if name == "stargate-apply" {
            let file = self.runner.folder.read("plan.env");
            let digest = file.trim().strip_prefix("STARGATE_PLAN_SHA256=").expect("a digest");
            variables.push(("STARGATE_PLAN_SHA256", digest.to_owned()));
        }
        let lines = [&base["before_script"], &own["script"]];
        let lines = lines.into_iter().flat_map(|it| it.as_array().expect("lines"));
        let script: Vec<&str> = lines.map(|line| line.as_str().expect("a line")).collect();
        self.runner.bash(&["-e", "-o", "pipefail"], &script.join("\n"), &variables)
    }
}

/// Another topology than the default one is planned and applied when its file changes.
#[test]
fn a_push_runs_the_jobs_if_it_changes_the_topology() {
    let gitlab = GitLab::new();
    let mut jobs = Vec::new();
    for (name, job) in gitlab.template.as_object().expect("jobs") {
        let rules = job["rules"].as_array().into_iter().flatten();
        for changes in rules.filter_map(|rule| rule.get("changes")) {
            // GitLab replaces variables in these paths.
            assert_eq!(*changes, serde_json::json!(["$STARGATE_TOPOLOGY"]), "{name}");
            jobs.push(name.as_str());
        }
    }
    jobs.sort_unstable();
    assert_eq!(jobs, ["stargate-apply", "stargate-plan"]);
}

#[test]
fn a_merge_request_has_one_comment_that_is_updated() {
    let gitlab = GitLab::new();
    gitlab.job("stargate-validate", Pipeline::MergeRequest).exits(0);
    assert!(!gitlab.runner.calls().iter().any(|call| call.starts_with("curl ")));
    gitlab.runner.inject("route-missing");
    gitlab.job("stargate-plan", Pipeline::MergeRequest).exits(0);
    gitlab.runner.inject("tailnet-route-unapproved");
    gitlab.job("stargate-plan", Pipeline::MergeRequest).exits(0);
    let notes = gitlab.runner.state("notes");
    assert_eq!(notes.len(), 1, "{notes:?}");
    let body = notes[0]["body"].as_str().expect("a text");
    assert!(body.starts_with("<!-- stargate plan stargate.toml -->\n### Plan for "), "{body}");
    assert!(body.contains("Plan: 0 to add, 2 to change"), "{body}");
    let calls = gitlab.runner.calls();
    let writes: Vec<&String> =
        calls.iter().filter(|it| it.contains("/notes") && !it.contains(" GET ")).collect();
    assert!(writes[0].contains(" POST ") && writes[1].contains(" PUT "), "{writes:?}");
    gitlab.runner.inject("tag-removed");
    gitlab.job("stargate-plan", Pipeline::MergeRequest).exits(5);
    let notes = gitlab.runner.state("notes");
    assert!(notes[0]["body"].as_str().is_some_and(|it| it.contains("**blocked** ")), "{notes:?}");
    assert!(!gitlab.runner.folder.path("plan.json").exists(), "a blocked plan can be applied");
}

#[test]
fn the_approved_plan_of_the_pipeline_is_applied() {
    let mut gitlab = GitLab::new();
    gitlab.has_api_token = false;
    gitlab.runner.inject("route-missing");
    gitlab.job("stargate-plan", Pipeline::Push).exits(0);
    gitlab.runner.inject("tailnet-route-unapproved");
    let plan = gitlab.runner.folder.read("plan.json");
    gitlab.runner.folder.write("plan.json", format!("{plan} "));
    gitlab.runner.calls();
    gitlab.job("stargate-apply", Pipeline::Push).exits(1);
    assert_eq!(gitlab.runner.stargate_calls(), Vec::<String>::new());
    gitlab.runner.folder.write("plan.json", plan);
    gitlab.job("stargate-apply", Pipeline::Push).exits(0);
    assert_eq!(gitlab.runner.stargate_calls(), ["stargate apply plan.json"]);
    let left = gitlab.runner.folder.run("plan --sandbox").exits(0).out;
    assert!(left.contains("Plan: 0 to add, 1 to change") && left.contains("approved-routes/"));
}

#[test]
fn a_stale_plan_of_the_pipeline_is_refused() {
    let gitlab = GitLab::new();
    gitlab.runner.inject("route-missing");
    gitlab.job("stargate-plan", Pipeline::Push).exits(0);
    gitlab.runner.inject("route-wrong-hop");
    let refused = gitlab.job("stargate-apply", Pipeline::Push).exits(4);
    assert!(refused.out.contains("Not applied: the plan is stale."), "{refused:?}");
    assert!(gitlab.runner.has_drift());
}

#[test]
fn drift_opens_one_issue() {
    let gitlab = GitLab::new();
    gitlab.job("stargate-drift", Pipeline::Schedule).exits(0);
    assert_eq!(gitlab.runner.state("issues"), Vec::<Value>::new());
    gitlab.runner.inject("route-missing");
    // GitLab shows this exit code as a warning.
    assert_eq!(gitlab.template["stargate-drift"]["allow_failure"]["exit_codes"], 2);
    gitlab.job("stargate-drift", Pipeline::Schedule).exits(2);
    gitlab.job("stargate-drift", Pipeline::Schedule).exits(2);
    let issues = gitlab.runner.state("issues");
    assert_eq!((issues.len(), &issues[0]["state"]), (1, &"opened".into()), "{issues:?}");
    let text = issues[0]["description"].as_str().expect("a text");
    assert!(text.contains("Drift: 0 to add, 1 to change"), "{text}");
    gitlab.runner.folder.run("apply --sandbox --yes").exits(0);
    gitlab.job("stargate-drift", Pipeline::Schedule).exits(0);
    assert_eq!(gitlab.runner.state("issues")[0]["state"], "closed");
}
