//! Workers that cannot be read may run: whatever source is missing while an edit would remove,
//! move or shrink something, no worker that stays loses a path.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;
use stargate::plan::Action;
use stargate::provider::http::Api;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use crate::absence::mutation::{How, ListForm, Mutation, identity};
use crate::absence::rewriting::Answers;
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::moves::{allowing_loss, applied, apply_to_the_end, edit};
use crate::observer::Observer;
use crate::router_devices::SilentHost;

const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";
const ATTIC_B: &str = "[[datacenters.attic.workers]]\nname = \"attic-b\"\nip = \"10.60.1.6\"\nmac = \
                       \"52:54:00:00:00:06\"\npod_cidr = \"10.244.200.0/24\"\n";
/// A datacenter whose workers are a range.
const LOFT: &str = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.loft.existing]\nnetwork_cidr = \"10.61.0.0/16\"\n\n\
    [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.61.0.4\"\n\n\
    [datacenters.loft.worker_range]\nname = \"loft-{}\"\ncount = 3\nfirst_ip = \"10.61.1.5\"\n";

fn base() -> String {
    format!("{TWO_DATACENTERS}{LOFT}")
}

fn without_section(text: &str, begin: &str, end: &str) -> String {
    let (begin, end) = (text.find(begin).unwrap(), text.find(end).unwrap());
    format!("{}{}", &text[..begin], &text[end..])
}

fn without_attic(text: &str) -> String {
    without_section(text, "[datacenters.attic]\n", "[datacenters.loft]\n")
}

/// Edits that end something, each with a worker that leaves its place.
fn edits() -> Vec<(&'static str, String, &'static str)> {
    let base = base();
    let attic_b_to_cloud =
        format!("{CLOUD_B}\n{}", ATTIC_B.replace("attic.workers", "cloud.workers"))
            .replace("ip = \"10.60.1.6\"\nmac = \"52:54:00:00:00:06\"\n", "");
    let cloud_b_to_attic = format!(
        "{ATTIC_A}\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\nip = \"10.60.1.9\"\n\
         mac = \"52:54:00:00:00:09\"\n"
    );
    vec![
        ("a datacenter of existing machines is removed", without_attic(&base), "attic-a"),
        (
            "a datacenter of VMs is removed",
            without_section(&base, "[datacenters.cloud]\n", "[datacenters.attic]\n"),
            "cloud-a",
        ),
        ("a machine with a range of the pool", edit(&base, &[(ATTIC_A, "")]), "attic-a"),
        ("a machine with a range of its own", edit(&base, &[(ATTIC_B, "")]), "attic-b"),
        ("a VM", edit(&base, &[(CLOUD_B, "")]), "cloud-b"),
        (
            "a machine moves to VMs",
            edit(&base, &[(ATTIC_B, ""), (CLOUD_B, &attic_b_to_cloud)]),
            "attic-b",
        ),
        (
            "a VM moves to machines",
            edit(&base, &[(CLOUD_B, ""), (ATTIC_A, &cloud_b_to_attic)]),
            "cloud-b",
        ),
        (
            "a range of workers shrinks",
            edit(&base, &[("count = 3\nfirst", "count = 1\nfirst")]),
            "loft-3",
        ),
        (
            "a network shrinks",
            edit(&base, &[("10.60.0.0/16", "10.60.0.0/20"), ("10.61.0.0/16", "10.61.0.0/23")]),
            "attic-a",
        ),
    ]
}

/// The unreadable source.
#[derive(Debug, Clone, Copy)]
enum Missing {
    Service(Api),
    Host(&'static str),
    List(&'static str),
    /// The Node of the worker that leaves.
    Node,
}

impl Missing {
    const ALL: [Self; 8] = [
        Self::Service(Api::Kubernetes),
        Self::List("NodeList"),
        Self::List("ServerList"),
        Self::Node,
        Self::Service(Api::Tailscale),
        Self::Service(Api::Azure),
        Self::Host("attic-router"),
        Self::Host("cloud-router"),
    ];

    /// Whether no Node at all can be read.
    fn hides_all_nodes(self) -> bool {
        matches!(self, Self::Service(Api::Kubernetes) | Self::List("NodeList"))
    }

    async fn begin(self, deployment: &Deployment, answers: &Answers, worker: &str) {
        match self {
            Self::Service(api) => {
                deployment.inject("source-down".parse().unwrap(), Some(api.as_str()));
            }
            Self::Host(name) => {
                deployment.sandbox.set_fault_injector(Some(Arc::new(SilentHost(name))));
            }
            Self::List(list) => answers.set(Some(Mutation {
                api: Api::Kubernetes,
                identity: format!("list {list}"),
                how: How::List(ListForm::Refused),
            })),
            Self::Node => {
                let _plan = deployment.plan().await;
                let mut seen = answers.take_seen().into_iter().map(|(_, object)| object);
                let is_node = |it: &Value| {
                    it["metadata"]["name"] == worker && !it["status"]["nodeInfo"].is_null()
                };
                let node = seen.find(is_node).unwrap();
                let how = How::Garble("/status/nodeInfo/kubeletVersion".to_owned());
                let identity = identity(Api::Kubernetes, &node).unwrap();
                answers.set(Some(Mutation { api: Api::Kubernetes, identity, how }));
            }
        }
    }

    fn end(self, deployment: &Deployment, answers: &Answers) {
        answers.set(None);
        deployment.sandbox.set_fault_injector(None);
        deployment.inject("source-down".parse().unwrap(), Some("none"));
    }
}

fn connected(deployment: &Deployment) -> BTreeSet<(String, String)> {
    let now = deployment.sandbox.now();
    deployment.sandbox.read(|state| state.connected_nodes(now))
}

fn nodes(deployment: &Deployment) -> BTreeSet<String> {
    let name = |node: &Value| node["metadata"]["name"].as_str().unwrap().to_owned();
    deployment.sandbox.read(|state| {
        state.kubernetes.as_ref().unwrap().list("v1", "Node", None).into_iter().map(name).collect()
    })
}

/// Calls that write objects on the path of packets.
fn is_on_path(call: &str) -> bool {
    let paths =
        ["routeTables", "networkSecurityGroups", "/routes", "daemonsets", "on attic", "on cloud"];
    paths.iter().any(|it| call.contains(it))
}

/// Asserts that each worker whose Node stays keeps its pairs.
async fn check(
    state: &SandboxState,
    (name, text, worker): &(&str, String, &str),
    missing: Missing,
) {
    let name = format!("{name}, without {missing:?}");
    let answers = Answers::default();
    let deployment = Deployment::of(text, state.clone()).with_answers(&answers);
    let before = connected(&deployment);
    let all_nodes = nodes(&deployment);
    missing.begin(&deployment, &answers, worker).await;
    let observer = missing.hides_all_nodes().then(|| Observer::of(&deployment));
    let plan = deployment.refresh_and_plan(&allowing_loss()).await.plan;
    let applied = deployment.apply(&allowing_loss()).await;
    let report = || format!("{name}\n{}\n{}", summary(&plan), failures(&applied).join("\n"));
    let left = nodes(&deployment);
    let stay = |(from, to): &&(String, String)| left.contains(from) && left.contains(to);
    let after = connected(&deployment);
    let lost: Vec<_> = before.iter().filter(stay).filter(|pair| !after.contains(*pair)).collect();
    assert!(lost.is_empty(), "{lost:?}\n{}", report());
    if let Some(observer) = observer {
        assert_eq!(left, all_nodes, "{}", report());
        let calls = observer.calls();
        let written: Vec<&String> = calls.iter().filter(|it| is_on_path(it)).collect();
        assert!(written.is_empty(), "{written:#?}\n{}", report());
    }
    missing.end(&deployment, &answers);
}

#[tokio::test(start_paused = true)]
async fn no_worker_that_stays_loses_a_path_while_something_cannot_be_read() {
    let state = applied(&base(), 71).await.copy_of_state();
    for edit in &edits() {
        for missing in Missing::ALL {
            check(&state, edit, missing).await;
        }
    }
}

/// Protected or not: it is unknown which workers run there. Once they can be read, the
/// removal of unprotected ones is applied.
#[tokio::test(start_paused = true)]
async fn a_datacenter_is_not_cut_off_while_its_workers_cannot_be_read() {
    let protected =
        edit(&base(), &[("[datacenters.attic]\n", "[datacenters.attic]\nprotect = true\n")]);
    for (name, text) in [("free", base()), ("protected", protected)] {
        let before = applied(&text, 72).await;
        let pairs = connected(&before);
        let edited = before.edited(&without_attic(&text));
        edited.inject("source-down".parse().unwrap(), Some("kubernetes"));
        let plan = edited.plan().await;
        assert!(plan.changes.is_empty(), "{name}\n{}", summary(&plan));
        for kind in [Kind::RouteTable, Kind::NetworkSecurityGroup] {
            let mut blocked = plan.blocked.iter().filter(|it| it.address.kind == kind).peekable();
            assert!(blocked.peek().is_some(), "{name}, {kind}\n{}", summary(&plan));
            let is_clear = blocked.all(|it| it.failure.message.contains("could not be read"));
            assert!(is_clear, "{name}, {kind}\n{}", summary(&plan));
        }
        let writes = edited.writes();
        edited.apply(&RefreshOptions::default()).await;
        assert_eq!((edited.writes(), connected(&edited)), (writes, pairs.clone()), "{name}");

        edited.inject("source-down".parse().unwrap(), Some("none"));
        if name == "free" {
            apply_to_the_end(&edited, name).await;
            continue;
        }
        edited.apply(&allowing_loss()).await;
        assert_eq!(connected(&edited), pairs, "{name}");
        let plan = edited.plan().await;
        let ends = plan.changes.iter().find(|it| it.action == Action::Delete);
        assert_eq!(ends, None, "{}", summary(&plan));
    }
}
