//! Metrics and alerts by Prometheus' own tool, `promtool` of Debian's package `prometheus`.
//! Without it these tests say that they are skipped.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use super::location::TestFolder;

const JOB: &str = "stargate-system/stargate-stargate-aks-e2e-2";

/// Runs promtool, and returns its output; `None` if it is not installed.
fn promtool(location: &TestFolder, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    use std::io::Write as _;

    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(location.path(""));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        let reason = "promtool is not installed (Debian package `prometheus`)";
        let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
        return None;
    };
    let mut stdin = child.stdin.take().expect("its input");
    stdin.write_all(input.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

/// Checks the names and types of metrics.
pub(crate) fn checks_metrics(location: &TestFolder, metrics: &str) {
    // It reads the older text format, whose types are names of OpenMetrics but for these.
    let mut text = String::new();
    for line in metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT")) {
        let counter = line.strip_prefix("# TYPE ").and_then(|it| it.strip_suffix(" counter"));
        let info = line.strip_prefix("# TYPE ").and_then(|it| it.strip_suffix(" info"));
        let _ = match (counter, info) {
            (Some(name), _) => writeln!(text, "# TYPE {name}_total counter"),
            (_, Some(name)) => writeln!(text, "# TYPE {name}_info gauge"),
            _ => writeln!(text, "{}", help_of_sample(metrics, line)),
        };
    }
    if let Some((succeeds, printed)) = promtool(location, &["check", "metrics"], &text) {
        assert!(succeeds && printed.trim().is_empty(), "{printed}\n{text}");
    }
}

/// The help of a counter or of information is that of its sample.
fn help_of_sample(metrics: &str, line: &str) -> String {
    let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' ')) else {
        return line.to_owned();
    };
    for (kind, ending) in [("counter", "_total"), ("info", "_info")] {
        if metrics.contains(&format!("# TYPE {name} {kind}\n")) {
            return format!("# HELP {name}{ending} {help}");
        }
    }
    line.to_owned()
}

/// The PrometheusRule of the printed manifests, as a file for promtool.
fn rules(location: &TestFolder) {
    let printed = location
        .run("manifests --image registry.example/stargate:1 --monitoring prometheus-operator")
        .exits(0)
        .out;
    let document = printed.split("---\n").find(|it| it.contains("kind: PrometheusRule"));
    let document = document.expect("a PrometheusRule");
    let spec = document.split_once("spec:\n").expect("a spec").1;
    // Without its indentation, the spec is a rule file of promtool.
    let lines = spec.lines().map_while(|line| line.strip_prefix("  "));
    location.write("rules.yml", lines.collect::<Vec<_>>().join("\n") + "\n");
}

/// An alert, with metrics with which it fires and metrics with which it does not.
struct AlertCase {
    name: &'static str,
    /// Series and values while it fires.
    fires: &'static [(&'static str, &'static str)],
    /// The same in cases in which it does not.
    silent: &'static [&'static [(&'static str, &'static str)]],
    /// When it fires, from the start.
    at: &'static str,
}

const CASES: [AlertCase; 10] = [
    AlertCase {
        name: "StargateWatchDown",
        fires: &[("up", "0x2000")],
        silent: &[&[("up", "1x2000")]],
        at: "6m",
    },
    AlertCase {
        name: "StargateNoSuccess",
        fires: &[
            ("stargate_last_success_timestamp_seconds", "0x2000"),
            // One that fails and is repeated runs at some scrapes.
            ("stargate_reconciling", "0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 0 1 0 0 1 0 0x2000"),
        ],
        silent: &[
            &[
                ("stargate_last_success_timestamp_seconds", "0+60x2000"),
                ("stargate_reconciling", "0x2000"),
            ],
            // A long rollout.
            &[
                ("stargate_last_success_timestamp_seconds", "0x2000"),
                ("stargate_reconciling", "1x2000"),
            ],
        ],
        at: "21m",
    },
    AlertCase {
        name: "StargateReconcileHung",
        fires: &[
            ("stargate_reconciling", "1x2000"),
            ("stargate_last_progress_timestamp_seconds", "0x2000"),
        ],
        silent: &[
            // A long rollout.
            &[
                ("stargate_reconciling", "1x2000"),
                ("stargate_last_progress_timestamp_seconds", "0x30 1800x2000"),
            ],
            // None runs until the next interval.
            &[
                ("stargate_reconciling", "0x2000"),
                ("stargate_last_progress_timestamp_seconds", "0x2000"),
            ],
        ],
        at: "67m",
    },
    AlertCase {
        name: "StargateReconcileLong",
        fires: &[("stargate_reconciling", "1x2000")],
        silent: &[&[("stargate_reconciling", "1x300 0 1x2000")]],
        at: "361m",
    },
    AlertCase {
        name: "StargateNoLeader",
        fires: &[("stargate_leader", "0x2000")],
        silent: &[&[("stargate_leader", "1x2000")]],
        at: "6m",
    },
    AlertCase {
        name: "StargateTopologyInvalid",
        fires: &[("stargate_topology_valid", "0x2000")],
        silent: &[&[("stargate_topology_valid", "1x2000")]],
        at: "11m",
    },
    AlertCase {
        name: "StargateDrift",
        fires: &[("stargate_drift_resources", "1x2000")],
        silent: &[&[("stargate_drift_resources", "0x2000")]],
        at: "61m",
    },
    AlertCase {
        name: "StargatePairsBroken",
        fires: &[("stargate_pairs:broken", "2x2000")],
        silent: &[&[("stargate_pairs:broken", "0x2000"), ("stargate_pairs:reached", "9x2000")]],
        at: "11m",
    },
    AlertCase {
        name: "StargateAwaitingApproval",
        fires: &[("stargate_pending_approvals", "3x2000")],
        silent: &[&[("stargate_pending_approvals", "0x2000")]],
        at: "1441m",
    },
    AlertCase {
        name: "StargateChangesPaused",
        fires: &[("stargate_changes_paused", "1x2000")],
        silent: &[&[("stargate_changes_paused", "0x2000")]],
        at: "2m",
    },
];

impl AlertCase {
    /// A test of promtool: how often the alert fires with these series.
    fn test(&self, series: &[(&str, &str)], fires: bool) -> String {
        let mut text = String::from("- interval: 1m\n  input_series:\n");
        for (name, values) in series {
            let (name, state) = name.split_once(':').unwrap_or((name, ""));
            let state =
                if state.is_empty() { String::new() } else { format!(",state=\"{state}\"") };
            let _ = writeln!(text, "  - series: '{name}{{job=\"{JOB}\"{state}}}'");
            let _ = writeln!(text, "    values: '{values}'");
        }
        let _ = writeln!(text, "  promql_expr_test:");
        let _ = writeln!(
            text,
            "  - expr: 'count(ALERTS{{alertname=\"{}\",alertstate=\"firing\"}})'",
            self.name
        );
        let _ = writeln!(text, "    eval_time: {}", self.at);
        match fires {
            true => text.push_str("    exp_samples:\n    - labels: '{}'\n      value: 1\n"),
            false => text.push_str("    exp_samples: []\n"),
        }
        text
    }
}

#[test]
fn alerts_are_valid_and_each_fires_for_its_cause_alone() {
    let location = TestFolder::new();
    location.write("stargate.toml", super::location::EXAMPLE);
    rules(&location);
    let written = std::fs::read_to_string(location.path("rules.yml")).expect("the rules");
    let names: Vec<&str> =
        written.lines().filter_map(|line| line.split_once("alert: ")).map(|it| it.1).collect();
    assert_eq!(names, CASES.each_ref().map(|case| case.name), "each alert has a case");
    let Some((succeeds, printed)) = promtool(&location, &["check", "rules", "rules.yml"], "")
    else {
        return;
    };
    let count = format!("{} rules found", CASES.len());
    assert!(succeeds && printed.contains(&count), "{printed}\n{written}");
    let mut tests = String::from("rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n");
    for case in &CASES {
        tests.push_str(&case.test(case.fires, true));
        for silent in case.silent {
            tests.push_str(&case.test(silent, false));
        }
    }
    location.write("tests.yml", &tests);
    let (succeeds, printed) =
        promtool(&location, &["test", "rules", "tests.yml"], "").expect("it is installed");
    assert!(succeeds, "{printed}\n{tests}");
}
