//! The properties of the templates: pinned actions, minimal permissions, no secrets for
//! forks, one apply at a time; and shell that `shellcheck` accepts.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::runner::{TEMPLATES, template};

const WORKFLOWS: [&str; 3] = ["stargate-plan.yml", "stargate-apply.yml", "stargate-drift.yml"];

fn workflow(name: &str) -> Value {
    template(&format!("github/workflows/{name}"))
}

/// Every file of the templates.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The values of a key anywhere in a document.
fn values<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match document {
        Value::Array(list) => list.iter().for_each(|it| values(it, key, found)),
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|it| values(it, key, found));
        }
        _ => {}
    }
}

#[test]
fn actions_are_pinned_and_scripts_have_no_expressions() {
    let mut documents: Vec<Value> = WORKFLOWS.iter().map(|it| workflow(it)).collect();
    documents.push(template("github/action.yml"));
    for document in &documents {
        let mut actions = Vec::new();
        values(document, "uses", &mut actions);
        assert!(!actions.is_empty());
        for action in actions {
            let (_, commit) = action.split_once('@').expect("a commit");
            let is_commit = commit.len() == 40 && commit.chars().all(|it| it.is_ascii_hexdigit());
            assert!(is_commit, "{action} is not pinned");
        }
        let mut scripts = Vec::new();
        values(document, "run", &mut scripts);
        assert!(!scripts.iter().any(|script| script.contains("${{")), "text becomes shell");
        assert!(!document.to_string().contains("secrets."), "a long-lived secret");
    }
}

#[test]
fn jobs_have_the_permissions_that_they_need() {
    let token = json!({"contents": "read", "id-token": "write"});
    let with = |more: &[(&str, &str)]| {
        let mut permissions = token.clone();
        more.iter().for_each(|(name, level)| permissions[*name] = (*level).into());
        permissions
    };
    for (name, job, permissions) in [
        ("stargate-plan.yml", "validate", json!({"contents": "read"})),
        ("stargate-plan.yml", "plan", with(&[("pull-requests", "write")])),
        ("stargate-apply.yml", "plan", token.clone()),
        ("stargate-apply.yml", "apply", with(&[("actions", "read"), ("pull-requests", "write")])),
        ("stargate-drift.yml", "drift", with(&[("issues", "write"), ("security-events", "write")])),
    ] {
        let workflow = workflow(name);
        assert_eq!(workflow["permissions"], json!({}), "{name}");
        assert_eq!(workflow["jobs"][job]["permissions"], permissions, "{name} {job}");
        assert!(workflow["jobs"][job]["timeout-minutes"].as_u64().is_some_and(|it| it < 60));
        assert!(workflow["on"].get("pull_request_target").is_none(), "forks would get secrets");
    }
}

#[test]
fn one_apply_runs_at_a_time_and_is_never_cancelled() {
    let github = &workflow("stargate-apply.yml")["concurrency"];
    assert_eq!(*github, json!({"group": "stargate-apply", "cancel-in-progress": false}));
    let gitlab = template("gitlab/stargate.gitlab-ci.yml");
    assert_eq!(gitlab["stargate-apply"]["resource_group"], "stargate-apply");
    assert!(gitlab["stargate-apply"].get("interruptible").is_none());
    assert_eq!(gitlab["stargate-apply"]["rules"][0]["when"], "manual");
    let devops = template("azure-devops/azure-pipelines.yml");
    assert_eq!(devops["lockBehavior"], "sequential");
    assert_eq!(devops["stages"][1]["jobs"][0]["environment"], "stargate-production");
}

#[test]
fn forks_get_no_credentials() {
    let own = "github.event.pull_request.head.repo.full_name == github.repository";
    assert_eq!(workflow("stargate-plan.yml")["jobs"]["plan"]["if"], own);
    let gitlab = template("gitlab/stargate.gitlab-ci.yml");
    assert_eq!(gitlab["stargate-validate"]["id_tokens"], json!({}));
    let rule = gitlab["stargate-plan"]["rules"][0]["if"].as_str().expect("a rule");
    assert!(rule.contains("$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID"), "{rule}");
    let devops = template("azure-devops/azure-pipelines.yml");
    let condition = &devops["stages"][0]["jobs"][1]["condition"];
    assert_eq!(condition, "ne(variables['System.PullRequest.IsFork'], 'True')");
}

#[test]
fn the_shell_of_every_template_is_checked() {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        eprintln!("SKIPPED: shellcheck is not installed on this machine");
        return;
    }
    let mut found = Vec::new();
    files(Path::new(TEMPLATES), &mut found);
    let mut checked = 0;
    for path in found {
        let text = fs::read_to_string(&path).expect("text");
        let scripts = match path.extension().and_then(|it| it.to_str()) {
            Some("sh") => vec![text],
            Some("yml") => scripts(&serde_saphyr::from_str(&text).expect("YAML")),
            _ => continue,
        };
        for script in scripts {
            let complaints = shellcheck(&script);
            assert_eq!(complaints, "", "{}\n{script}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} scripts");
}

/// The scripts of a document: of steps, of tasks and of GitLab's jobs.
fn scripts(document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["run", "bash", "inlineScript"] {
        values(document, key, &mut found);
    }
    let mut scripts: Vec<String> = found.into_iter().map(str::to_owned).collect();
    for job in document.as_object().into_iter().flat_map(|it| it.values()) {
        let lines = ["before_script", "script"].into_iter().filter_map(|it| job[it].as_array());
        let text = |lines: &Vec<Value>| -> String {
            lines.iter().filter_map(Value::as_str).map(|line| format!("{line}\n")).collect()
        };
        scripts.extend(lines.map(text));
    }
    scripts
}

fn shellcheck(script: &str) -> String {
    let mut child = Command::new("shellcheck")
        .args(["--shell=bash", "--exclude=SC1091", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("shellcheck runs");
    // Runners of GitHub and GitLab set these options.
    let script = format!("set -eo pipefail\n{script}");
    child.stdin.take().expect("stdin").write_all(script.as_bytes()).expect("a pipe");
    let output = child.wait_with_output().expect("shellcheck ends");
    String::from_utf8(output.stdout).expect("UTF-8")
}
