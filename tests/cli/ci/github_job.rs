//! Jobs of the workflows for GitHub Actions.

use std::fs;

use serde_json::Value;

use super::expressions::{Names, holds, substitute};
use super::runner::{Runner, Step, TEMPLATES, template};

/// A repository on GitHub, and its runner.
pub(super) struct GitHub {
    pub(super) runner: Runner,
    /// The number of the run.
    run: u32,
    /// Inputs that differ from those of the workflow.
    inputs: Names,
    /// Variables of the repository that differ from the usual ones.
    pub(super) variables: Names,
    /// The URL of the tokens of a job, and the token that it takes.
    pub(super) token_service: [String; 2],
}

/// The event that starts a run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    /// A commit is pushed to pull request 7.
    PullRequest { commit: &'a str, fork: bool },
    /// Pull request 7 is merged: its commit, and the one on the branch.
    Merge { pull: Option<&'a str>, commit: &'a str },
    /// The schedule, or a start by hand.
    Other { name: &'a str, commit: &'a str },
}

/// The result of a job.
#[derive(Debug)]
pub(super) struct Job {
    /// Whether its condition held.
    pub(super) ran: bool,
    /// The first step that failed, or the last one.
    pub(super) step: Step,
    /// Its outputs.
    pub(super) outputs: Names,
}

impl Job {
    #[track_caller]
    pub(super) fn exits(self, code: i32) -> Self {
        assert!(self.ran, "the job was skipped");
        Self { step: self.step.exits(code), ..self }
    }
}

impl GitHub {
    pub(super) fn new() -> Self {
        let mut runner = Runner::new();
        // These come from variables of the repository.
        runner.environment.remove("TAILSCALE_CLIENT_ID");
        runner.environment.remove("STARGATE_SSH_KEY_SECRET");
        let temp = runner.folder.path("temp").display().to_string();
        runner.set(&[
            ("RUNNER_TEMP", &temp),
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "org/network"),
            ("GITHUB_REF_NAME", "main"),
            ("GITHUB_ACTION_PATH", &format!("{TEMPLATES}/github")),
            ("GITHUB_STEP_SUMMARY", &format!("{temp}/summary")),
            ("GITHUB_OUTPUT", &format!("{temp}/output")),
            ("GITHUB_PATH", &format!("{temp}/path")),
        ]);
        let token_service = ["https://github.test/token?run=1", "request-token"];
        let token_service = token_service.map(str::to_owned);
        Self { runner, run: 100, inputs: Names::new(), variables: Names::new(), token_service }
    }

    /// Sets where drift is reported.
    pub(super) fn report_to(&mut self, report: &str) {
        self.inputs.insert("inputs.drift-report".to_owned(), report.to_owned());
    }

    /// The next job is of the run of the one before.
    pub(super) fn rerun_in_same_run(&mut self) {
        self.run -= 1;
    }

    /// Runs a job of a workflow; `needs` has the results of other jobs.
    pub(super) fn job(
        &mut self,
        workflow: &str,
        job: &str,
        event: Event<'_>,
        needs: &Names,
    ) -> Job {
        self.run += 1;
        let workflow = template(&format!("github/workflows/{workflow}"));
        let job = &workflow["jobs"][job];
        let mut names = self.names(event);
        names.extend(needs.clone());
        if job["if"].as_str().is_some_and(|it| !holds(it, &names)) {
            let step = Step { code: 0, out: String::new(), err: String::new() };
            return Job { ran: false, step, outputs: Names::new() };
        }
        let step = self.steps(&job["steps"], job, event, &mut names);
        if step.code == 0 && matches!(event, Event::PullRequest { .. }) {
            self.note_success(event);
        }
        let outputs = strings(&job["outputs"]).into_iter();
        let outputs = outputs.map(|(name, text)| (name, substitute(&text, &names))).collect();
        Job { ran: true, step, outputs }
    }

    fn names(&mut self, event: Event<'_>) -> Names {
        let (name, commit) = match event {
            Event::PullRequest { .. } => ("pull_request", "0".repeat(40)),
            Event::Merge { commit, .. } => ("push", commit.to_owned()),
            Event::Other { name, commit } => (name, commit.to_owned()),
        };
        let temp = self.runner.folder.path("temp").display().to_string();
        let run = self.run.to_string();
        self.runner.set(&[("GITHUB_SHA", &commit), ("GITHUB_RUN_ID", &run)]);
        let mut names: Names = [
            ("github.token", "github-token"),
            ("github.repository", "org/network"),
            ("github.event_name", name),
            ("github.sha", &commit),
            ("runner.temp", &temp),
            ("runner.os", "Linux"),
            ("runner.arch", "X64"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if let Event::PullRequest { commit, fork } = event {
            let head = if fork { "someone/network" } else { "org/network" };
            names.insert("github.event.pull_request.number".into(), "7".into());
            names.insert("github.event.pull_request.head.sha".into(), commit.into());
            names.insert("github.event.pull_request.head.repo.full_name".into(), head.into());
        }
        if let Event::Merge { pull: Some(pull), commit } = event {
            let merged = serde_json::json!([{"number": 7, "merged_at": "2026-01-01T00:00:00Z",
                "base": {"ref": "main"}, "head": {"sha": pull}}]);
            self.runner.set_state(&format!("pulls-{commit}"), &merged);
        }
        let variables = [
            ("AZURE_CLIENT_ID", "azure-1"),
            ("AZURE_TENANT_ID", "tenant-1"),
            ("TAILSCALE_CLIENT_ID", "client-1"),
            ("SSH_KEY_SECRET", "https://vault.test/secrets/ssh"),
        ];
        names.extend(variables.map(|(name, value)| (format!("vars.{name}"), value.to_owned())));
        names.extend(self.variables.clone());
        names
    }

    /// A run that succeeded is found by its commit.
    fn note_success(&self, event: Event<'_>) {
        let Event::PullRequest { commit, .. } = event else { return };
        let runs = serde_json::json!({"workflow_runs":
            [{"id": self.run, "path": ".github/workflows/stargate-plan.yml"}]});
        self.runner.set_state(&format!("runs-{commit}"), &runs);
    }

    /// Runs steps until one fails; steps with a condition of their own run after that.
    fn steps(&mut self, steps: &Value, job: &Value, event: Event<'_>, names: &mut Names) -> Step {
        let mut result = Step { code: 0, out: String::new(), err: String::new() };
        for step in steps.as_array().expect("steps") {
            let condition = step["if"].as_str();
            let runs_after_failure = condition.is_some_and(|it| it.contains("cancelled()"));
            let is_skipped = result.code != 0 && !runs_after_failure;
            if is_skipped || condition.is_some_and(|it| !holds(it, names)) {
                continue;
            }
            let ran = match step["uses"].as_str() {
                Some(action) => self.uses(action, step, job, event, names),
                None => Some(self.script(step, job, names)),
            };
            if let Some(ran) = ran.filter(|_| result.code == 0) {
                result = ran;
            }
        }
        result
    }

    fn uses(
        &mut self,
        action: &str,
        step: &Value,
        job: &Value,
        event: Event<'_>,
        names: &mut Names,
    ) -> Option<Step> {
        let (name, _) = action.split_once('@').expect("a pinned action");
        let with = |key: &str| substitute(step["with"][key].as_str().expect("an input"), names);
        match name {
            "actions/checkout" | "actions/cache" => None,
            "actions/upload-artifact" => {
                let folder = format!("stub/artifacts/{}/{}", self.run, with("name"));
                let content = fs::read(with("path")).expect("the artifact");
                self.runner.folder.write(&format!("{folder}/plan.json"), content);
                None
            }
            "github/codeql-action/upload-sarif" => {
                let content = fs::read(with("sarif_file")).expect("the report");
                self.runner.folder.write("stub/state/code-scanning", content);
                None
            }
            "example/stargate/examples/ci/github" => Some(self.composite(step, job, event, names)),
            _ => panic!("unexpected action {name}"),
        }
    }

    /// Runs the composite action.
    fn composite(
        &mut self,
        step: &Value,
        job: &Value,
        event: Event<'_>,
        outer: &mut Names,
    ) -> Step {
        let action = template("github/action.yml");
        let mut names: Names =
            outer.iter().filter(|(name, _)| !name.starts_with("vars.")).map(own).collect();
        for (name, input) in action["inputs"].as_object().expect("inputs") {
            let default = input["default"].as_str().map(|it| substitute(it, outer));
            let given = step["with"][name].as_str().map(|it| substitute(it, outer));
            assert!(given.is_some() || input["required"] != true, "{name} is missing");
            names.insert(format!("inputs.{name}"), given.or(default).unwrap_or_default());
        }
        names.extend(self.inputs.clone());
        for given in step["with"].as_object().expect("inputs").keys() {
            assert!(action["inputs"].get(given).is_some(), "no input `{given}`");
        }
        let ran = self.steps(&action["runs"]["steps"], job, event, &mut names);
        if let Some(id) = step["id"].as_str() {
            for (name, output) in action["outputs"].as_object().expect("outputs") {
                let value = substitute(output["value"].as_str().expect("a value"), &names);
                outer.insert(format!("steps.{id}.outputs.{name}"), value);
            }
        }
        ran
    }

    fn script(&mut self, step: &Value, job: &Value, names: &mut Names) -> Step {
        assert_eq!(step["shell"], "bash");
        let mut environment: Vec<(String, String)> = strings(&step["env"])
            .into_iter()
            .map(|(name, text)| (name, substitute(&text, names)))
            .collect();
        if job["permissions"]["id-token"] == "write" {
            let names = ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"];
            let names = names.map(str::to_owned);
            environment.extend(names.into_iter().zip(self.token_service.clone()));
        }
        let extra: Vec<(&str, String)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        self.runner.folder.write("temp/output", "");
        self.runner.folder.write("temp/path", "");
        let script = step["run"].as_str().expect("a script");
        let ran = self.runner.bash(&["-e", "-o", "pipefail"], script, &extra);
        for line in self.runner.folder.read("temp/output").lines() {
            let (name, value) = line.split_once('=').expect("an output");
            if let Some(id) = step["id"].as_str() {
                names.insert(format!("steps.{id}.outputs.{name}"), value.to_owned());
            }
        }
        for folder in self.runner.folder.read("temp/path").lines() {
            self.runner.prepend_path(folder);
        }
        ran
    }
}

fn own((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// The entries of a mapping of texts.
fn strings(mapping: &Value) -> Vec<(String, String)> {
    let entries = mapping.as_object().into_iter().flatten();
    entries.map(|(name, text)| (name.clone(), text.as_str().expect("a text").to_owned())).collect()
}
