//! The template for Azure DevOps, end to end.

use serde_json::Value;

use super::runner::{Runner, Step, template};

pub(super) struct AzureDevOps {
    pub(super) runner: Runner,
    pipeline: Value,
    /// The output of the plan.
    digest: String,
    /// The variables of a step that is signed in.
    pub(super) signed_in: Vec<(&'static str, String)>,
}

impl AzureDevOps {
    pub(super) fn new() -> Self {
        let mut runner = Runner::new();
        let path = |name: &str| runner.folder.path(name).display().to_string();
        let (temp, workspace) = (path("temp"), path("workspace"));
        runner.set(&[
            ("AGENT_TEMPDIRECTORY", &temp),
            ("PIPELINE_WORKSPACE", &workspace),
            ("SYSTEM_COLLECTIONURI", "https://devops.test/org/"),
            ("SYSTEM_TEAMPROJECTID", "project-1"),
            ("BUILD_REPOSITORY_ID", "repo-1"),
        ]);
        let pipeline = template("azure-devops/azure-pipelines.yml");
        for variable in pipeline["variables"].as_array().expect("variables") {
            if let (Some(name), Some(value)) =
                (variable["name"].as_str(), variable["value"].as_str())
            {
                runner.set(&[(name, value)]);
            }
        }
        let signed_in = signed_in().map(|(name, value)| (name, value.to_owned())).to_vec();
        Self { runner, pipeline, digest: String::new(), signed_in }
    }

    /// Runs a job of a stage.
    pub(super) fn job(&mut self, stage: &str, job: &str, pull_request: bool) -> Step {
        let find = |list: &Value, key: &str, name: &str| {
            let list = list.as_array().expect("a list");
            list.iter().find(|it| it[key] == name).expect("an entry").clone()
        };
        let stage = find(&self.pipeline["stages"], "stage", stage);
        let (job, steps) = match stage["jobs"][0]["deployment"].is_string() {
            true => {
                let job = find(&stage["jobs"], "deployment", job);
                let steps = job["strategy"]["runOnce"]["deploy"]["steps"].clone();
                (job, steps)
            }
            false => {
                let job = find(&stage["jobs"], "job", job);
                let steps = job["steps"].clone();
                (job, steps)
            }
        };
        let mut variables: Vec<(&str, String)> = Vec::new();
        if pull_request {
            variables.push(("SYSTEM_PULLREQUEST_PULLREQUESTID", "7".to_owned()));
            variables.push(("SYSTEM_PULLREQUEST_SOURCECOMMITID", "5".repeat(40)));
        }
        if let Some(digest) = job["variables"]["PLAN_DIGEST"].as_str() {
            assert_eq!(digest, "$[stageDependencies.plan.plan.outputs['plan.digest']]");
            variables.push(("PLAN_DIGEST", self.digest.clone()));
        }
        let mut last = Step { code: 0, out: String::new(), err: String::new() };
        for step in steps.as_array().expect("steps") {
            if let Some(ran) = self.step(step, &variables) {
                last = ran;
            }
            if last.code != 0 {
                break;
            }
        }
        last
    }

    fn step(&mut self, step: &Value, variables: &[(&str, String)]) -> Option<Step> {
        if let Some(name) = step["template"].as_str() {
            let steps = template(&format!("azure-devops/{name}"))["steps"].clone();
            let ran = steps.as_array().expect("steps").iter().map(|it| self.step(it, variables));
            return ran.collect::<Vec<_>>().pop().flatten();
        }
        if step["publish"].is_string() {
            assert_eq!(step["publish"], "$(Agent.TempDirectory)/plan");
            let plan = self.runner.folder.read("temp/plan/plan.json");
            self.runner.folder.write("workspace/stargate-plan/plan.json", plan);
            return None;
        }
        if step["checkout"].is_string() || step["download"].is_string() {
            return None;
        }
        let mut variables = variables.to_vec();
        let script = match step["bash"].as_str() {
            Some(script) => script,
            None => {
                assert_eq!(step["task"], "AzureCLI@2");
                assert_eq!(step["env"]["SYSTEM_ACCESSTOKEN"], "$(System.AccessToken)");
                variables.extend(self.signed_in.iter().cloned());
                step["inputs"]["inlineScript"].as_str().expect("a script")
            }
        };
        let ran = self.runner.bash(&[], script, &variables);
        self.follow_commands(&ran.out);
        Some(ran)
    }

    /// Executes the logging commands of a step.
    fn follow_commands(&mut self, output: &str) {
        for line in output.lines() {
            if let Some(folder) = line.strip_prefix("##vso[task.prependpath]") {
                self.runner.prepend_path(folder);
            }
            let variable = "##vso[task.setvariable variable=digest;isOutput=true]";
            if let Some(digest) = line.strip_prefix(variable) {
                self.digest = digest.to_owned();
            }
        }
    }
}

/// The variables that the task `AzureCLI@2` sets.
fn signed_in() -> [(&'static str, &'static str); 6] {
    [
        ("SYSTEM_ACCESSTOKEN", "job-token"),
        ("SYSTEM_OIDCREQUESTURI", "https://devops.test/oidc"),
        ("AZURESUBSCRIPTION_CLIENT_ID", "azure-1"),
        ("AZURESUBSCRIPTION_TENANT_ID", "tenant-1"),
        ("AZURESUBSCRIPTION_SUBSCRIPTION_ID", "subscription-1"),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "connection-1"),
    ]
}

#[test]
fn a_pull_request_has_one_thread_that_is_updated() {
    let mut devops = AzureDevOps::new();
    devops.job("plan", "validate", true).exits(0);
    assert!(!devops.runner.calls().iter().any(|call| call.starts_with("curl ")));
    devops.runner.inject("route-missing");
    devops.job("plan", "plan", true).exits(0);
    devops.runner.inject("tailnet-route-unapproved");
    devops.job("plan", "plan", true).exits(0);
    let threads = devops.runner.state("threads");
    assert_eq!(threads.len(), 1, "{threads:?}");
    let text = threads[0]["comments"][0]["content"].as_str().expect("a text");
    assert!(text.starts_with("<!-- stargate plan stargate.toml -->\n### Plan for "), "{text}");
    assert!(text.contains("Plan: 0 to add, 2 to change"), "{text}");
    devops.runner.inject("tag-removed");
    devops.job("plan", "plan", true).exits(5);
    let threads = devops.runner.state("threads");
    let text = threads[0]["comments"][0]["content"].as_str().expect("a text");
    assert!(text.contains("**blocked** "), "{text}");
}

#[test]
fn the_approved_plan_of_the_run_is_applied() {
    let mut devops = AzureDevOps::new();
    devops.runner.inject("route-missing");
    devops.job("plan", "plan", false).exits(0);
    assert_eq!(devops.runner.state("threads"), Vec::<Value>::new());
    devops.runner.inject("tailnet-route-unapproved");
    let plan = devops.runner.folder.read("workspace/stargate-plan/plan.json");
    devops.runner.folder.write("workspace/stargate-plan/plan.json", format!("{plan} "));
    devops.runner.calls();
    devops.job("apply", "apply", false).exits(1);
    assert_eq!(devops.runner.stargate_calls(), Vec::<String>::new());
    devops.runner.folder.write("workspace/stargate-plan/plan.json", plan);
    devops.job("apply", "apply", false).exits(0);
    let left = devops.runner.folder.run("plan --sandbox").exits(0).out;
    assert!(left.contains("Plan: 0 to add, 1 to change") && left.contains("approved-routes/"));
}

#[test]
fn a_stale_plan_of_the_run_is_refused() {
    let mut devops = AzureDevOps::new();
    devops.runner.inject("route-missing");
    devops.job("plan", "plan", false).exits(0);
    devops.runner.inject("route-wrong-hop");
    let refused = devops.job("apply", "apply", false).exits(4);
    assert!(refused.out.contains("]Not applied: the plan is stale."), "{refused:?}");
    assert!(devops.runner.has_drift());
}

#[test]
fn drift_opens_one_work_item() {
    let mut devops = AzureDevOps::new();
    devops.job("drift", "drift", false).exits(0);
    assert_eq!(devops.runner.state("items"), Vec::<Value>::new());
    devops.runner.inject("route-missing");
    let found = devops.job("drift", "drift", false).exits(0);
    assert!(found.out.contains("##vso[task.complete result=SucceededWithIssues;]"), "{found:?}");
    devops.job("drift", "drift", false).exits(0);
    let items = devops.runner.state("items");
    assert_eq!(items.len(), 1, "{items:?}");
    let fields = items[0]["fields"].to_string();
    assert!(
        fields.contains("Drift of stargate.toml") && fields.contains("stargate-drift"),
        "{fields}"
    );
    assert!(fields.contains("Drift: 0 to add, 1 to change"), "{fields}");
    devops.runner.inject("source-down");
    devops.job("drift", "drift", false).exits(1);
    assert_eq!(devops.runner.state("items"), items);
}
