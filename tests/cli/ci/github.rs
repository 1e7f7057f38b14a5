//! The workflows for GitHub Actions, end to end.

use serde_json::{Value, json};

use super::expressions::Names;
use super::github_job::{Event, GitHub, Job};
use crate::sarif_schema;

const PLAN: &str = "stargate-plan.yml";
const APPLY: &str = "stargate-apply.yml";
const DRIFT: &str = "stargate-drift.yml";

/// Commits of the pull request, and of the branch.
const HEADS: [&str; 2] =
    ["1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"];
const MERGED: &str = "3333333333333333333333333333333333333333";

impl GitHub {
    pub(super) fn plan(&mut self, commit: &str) -> Job {
        let event = Event::PullRequest { commit, fork: false };
        self.job(PLAN, "plan", event, &Names::new())
    }

    pub(super) fn merge(&mut self, pull: &str) -> Job {
        let event = Event::Merge { pull: Some(pull), commit: MERGED };
        self.job(APPLY, "apply", event, &skipped_plan())
    }

    pub(super) fn drift(&mut self) -> Job {
        let event = Event::Other { name: "schedule", commit: MERGED };
        self.job(DRIFT, "drift", event, &Names::new())
    }

    /// The comments on the pull request that begin with a text.
    fn comments(&self, start: &str) -> Vec<String> {
        let comments = self.runner.state("comments-7");
        let bodies = comments.iter().map(|it| it["body"].as_str().expect("a text").to_owned());
        bodies.filter(|body| body.starts_with(start)).collect()
    }

    /// The comment about a plan, which is the only one.
    #[track_caller]
    pub(super) fn plan_comment(&self) -> String {
        let found = self.comments("<!-- stargate plan stargate.toml -->\n");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    #[track_caller]
    pub(super) fn apply_comment(&self) -> String {
        let found = self.comments("<!-- stargate apply stargate.toml -->\n");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }
}

fn skipped_plan() -> Names {
    Names::from([("needs.plan.result".to_owned(), "skipped".to_owned())])
}

fn planned() -> GitHub {
    let mut github = GitHub::new();
    github.runner.inject("route-missing");
    github.plan(HEADS[0]).exits(0);
    github
}

#[test]
fn a_pull_request_has_one_comment_that_is_updated() {
    let mut github = planned();
    let first = github.plan_comment();
    assert!(first.contains("\n### Plan for `stargate-aks-e2e-2`\n\nTarget: "), "{first}");
    assert!(first.contains(&format!("<!-- commit={} sha256=", HEADS[0])), "{first}");
    assert!(first.contains("Plan: 0 to add, 1 to change"), "{first}");
    github.runner.inject("tailnet-route-unapproved");
    github.plan(HEADS[1]).exits(0);
    let second = github.plan_comment();
    assert!(second.contains(&format!("<!-- commit={} sha256=", HEADS[1])), "{second}");
    assert!(second.contains("Plan: 0 to add, 2 to change"), "{second}");
    // A comment of another author with the same beginning is left alone.
    let mut comments = github.runner.state("comments-7");
    comments.insert(0, json!({"id": 1, "user": {"login": "someone"}, "body": second}));
    github.runner.set_state("comments-7", &Value::from(comments));
    github.plan(HEADS[1]).exits(0);
    assert_eq!(github.runner.state("comments-7").len(), 2);
}

#[test]
fn a_plan_without_changes_is_no_failure_and_an_error_is_shown() {
    let mut github = GitHub::new();
    github.plan(HEADS[0]).exits(0);
    assert!(github.plan_comment().contains("No changes."), "{}", github.plan_comment());
    github.runner.inject("tag-removed");
    github.plan(HEADS[0]).exits(5);
    let blocked = github.plan_comment();
    assert!(blocked.contains("**blocked** ") && blocked.contains(" sha256= -->"), "{blocked}");
    let text = github.runner.folder.read("stargate.toml");
    github
        .runner
        .folder
        .write("stargate.toml", text.replacen("[cluster]", "typo = 1\n[cluster]", 1));
    github.plan(HEADS[0]).exits(1);
    let invalid = github.plan_comment();
    assert!(invalid.contains("### `stargate plan` failed for `stargate.toml`"), "{invalid}");
    assert!(invalid.contains("- **error** in line "), "{invalid}");
    let validated = github.job(
        PLAN,
        "validate",
        Event::PullRequest { commit: HEADS[0], fork: true },
        &Names::new(),
    );
    let validated = validated.exits(1);
    assert!(validated.step.out.starts_with("::error file=stargate.toml,line="), "{validated:?}");
}

#[test]
fn a_fork_is_validated_without_credentials() {
    let mut github = GitHub::new();
    let event = Event::PullRequest { commit: HEADS[0], fork: true };
    github.job(PLAN, "validate", event, &Names::new()).exits(0);
    assert!(!github.job(PLAN, "plan", event, &Names::new()).ran);
    let calls = github.runner.calls();
    let is_local =
        |call: &String| call.starts_with("cargo ") || call.starts_with("stargate validate ");
    assert!(calls.iter().all(is_local), "{calls:?}");
    let environment = github.runner.folder.read("stub/environment");
    assert!(!environment.contains("TOKEN") && !environment.contains("API_KEY"), "{environment}");
}

#[test]
fn a_merge_applies_exactly_the_reviewed_plan() {
    let mut github = planned();
    let comment = github.plan_comment();
    // A difference that the review does not cover stays.
    github.runner.inject("tailnet-route-unapproved");
    github.runner.calls();
    github.merge(HEADS[0]).exits(0);
    let calls = github.runner.stargate_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert!(
        calls[0].starts_with("stargate apply --topology stargate.toml ")
            && calls[0].ends_with("/plan.json")
    );
    let result = github.apply_comment();
    assert!(result.contains("### Applied\n") && result.contains("1 change made."), "{result}");
    let plan = github.runner.folder.run("plan --sandbox").exits(0).out;
    assert!(plan.contains("Plan: 0 to add, 1 to change"), "{plan}");
    assert!(plan.contains("approved-routes/") && !plan.contains("stargate-workers-rt"), "{plan}");
    assert_eq!(github.plan_comment(), comment, "the record of the review stays");
}

#[test]
fn a_plan_that_became_stale_is_refused() {
    let mut github = planned();
    github.runner.inject("route-wrong-hop");
    let before = github.runner.folder.run("plan --sandbox").exits(0).out;
    github.merge(HEADS[0]).exits(4);
    let result = github.apply_comment();
    assert!(result.contains("### Not applied: the plan is stale\n"), "{result}");
    assert!(result.contains("SG0504") && result.contains("0 changes made."), "{result}");
    assert_eq!(github.runner.folder.run("plan --sandbox").exits(0).out, before);
    // By hand: a new plan of the branch, and its approval.
    let event = Event::Other { name: "workflow_dispatch", commit: MERGED };
    let plan = github.job(APPLY, "plan", event, &Names::new()).exits(0);
    let digest = plan.outputs["digest"].clone();
    assert_eq!(digest.len(), 64, "{plan:?}");
    let needs = Names::from([
        ("needs.plan.result".to_owned(), "success".to_owned()),
        ("needs.plan.outputs.digest".to_owned(), digest),
    ]);
    github.rerun_in_same_run();
    github.job(APPLY, "apply", event, &needs).exits(0);
    assert!(!github.runner.has_drift());
}

#[test]
fn only_the_plan_of_the_review_is_applied() {
    let mut github = planned();
    // Another file under the name of the reviewed one.
    let run = format!("stub/artifacts/101/stargate-plan-{}/plan.json", HEADS[0]);
    let plan = github.runner.folder.read(&run);
    github.runner.folder.write(&run, format!("{plan} "));
    let refused = github.merge(HEADS[0]).exits(1);
    assert!(refused.step.out.contains("is not the one that was reviewed"), "{refused:?}");
    github.runner.folder.write(&run, &plan);
    // A commit that was not planned, and one without a pull request.
    let refused = github.merge(HEADS[1]).exits(1);
    assert!(refused.step.out.contains("has no plan of commit 2222"), "{refused:?}");
    let direct = Event::Merge { pull: None, commit: HEADS[1] };
    let refused = github.job(APPLY, "apply", direct, &skipped_plan()).exits(1);
    assert!(refused.step.out.contains("there is no reviewed plan"), "{refused:?}");
    // A comment that only looks like the one of the job.
    let comments = github.runner.state("comments-7");
    let forged: Vec<Value> = comments
        .iter()
        .map(|it| json!({"id": it["id"], "body": it["body"], "user": {"login": "someone"}}))
        .collect();
    github.runner.set_state("comments-7", &Value::from(forged));
    github.merge(HEADS[0]).exits(1);
    let calls = github.runner.stargate_calls();
    assert!(!calls.iter().any(|call| call.contains(" apply ")), "{calls:?}");
    assert!(github.runner.has_drift());
}

#[test]
fn drift_opens_one_issue_and_closes_it() {
    let mut github = GitHub::new();
    github.drift().exits(0);
    assert_eq!(github.runner.state("issues"), Vec::<Value>::new());
    github.runner.inject("route-missing");
    github.drift().exits(0);
    github.runner.inject("tailnet-route-unapproved");
    github.drift().exits(0);
    let issues = github.runner.state("issues");
    assert_eq!(issues.len(), 1, "{issues:?}");
    assert_eq!(
        (&issues[0]["state"], &issues[0]["labels"][0]),
        (&"open".into(), &"stargate-drift".into())
    );
    let body = issues[0]["body"].as_str().expect("a text");
    assert!(body.contains("### Drift of `stargate-aks-e2e-2`"), "{body}");
    assert!(body.contains("Drift: 0 to add, 2 to change"), "{body}");
    // An unread source neither closes nor changes it.
    github.runner.inject("source-down");
    github.drift().exits(1);
    assert_eq!(github.runner.state("issues"), issues);
}

#[test]
fn drift_that_is_gone_closes_the_issue() {
    let mut github = planned();
    github.drift().exits(0);
    github.merge(HEADS[0]).exits(0);
    github.drift().exits(0);
    let issues = github.runner.state("issues");
    assert_eq!((issues.len(), &issues[0]["state"]), (1, &"closed".into()));
    github.runner.inject("tag-removed");
    github.drift().exits(5);
    let issues = github.runner.state("issues");
    assert_eq!((issues.len(), &issues[1]["state"]), (2, &"open".into()));
}

#[test]
fn code_scanning_takes_drift_and_no_report_of_an_unread_source() {
    let mut github = GitHub::new();
    github.report_to("code-scanning");
    github.runner.inject("route-missing");
    github.drift().exits(0);
    let report = github.runner.folder.read("stub/state/code-scanning");
    let log: Value = serde_json::from_str(&report).expect("JSON");
    assert_eq!(sarif_schema::violations(&log), Vec::<String>::new());
    assert!(!log["runs"][0]["results"].as_array().expect("results").is_empty());
    assert_eq!(github.runner.state("issues"), Vec::<Value>::new());
    github.runner.folder.write("stub/state/code-scanning", "old");
    github.runner.inject("source-down");
    github.drift().exits(1);
    assert_eq!(github.runner.folder.read("stub/state/code-scanning"), "old");
}
