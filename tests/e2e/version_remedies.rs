//! The remedies of findings about Kubernetes versions: each one names an edit, and the edits
//! lead to a plan without such a finding, whatever runs and whatever the topology names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use stargate::diagnostics::{Code, Failure};
use stargate::plan::FindingSeverity;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;
use stargate::topology::load::load_text;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};
use crate::node_pools::change_cluster;
use crate::upgrades::with_versions;

/// The codes of findings about versions.
const CODES: [Code; 5] = [
    Code::VersionSkew,
    Code::LiveVersionSkew,
    Code::KubernetesDowngrade,
    Code::KubernetesMinorSkipped,
    Code::VersionUnsupported,
];
/// A worker that has not joined.
const NEW_WORKER: &str = "\n[[datacenters.dc1.workers]]\nname = \"new\"\nip = \"10.50.1.7\"\n\
                          pod_cidr = \"10.244.67.0/24\"\n";
const POOL: &str = "[cluster.node_pools.nodepool1]\nmin = 2                                  \
                    # for the autoscaler; count = 2 is a fixed number\nmax = 5\n\
                    vm_size = \"Standard_D2ads_v5\"\n";

/// The versions of `[cluster]` and of the profile.
type Versions = (String, String);

/// An edit that a remedy names: the tables, and the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct VersionEdit {
    cluster: bool,
    profile: bool,
    version: String,
}

impl VersionEdit {
    fn apply(&self, (cluster, profile): &Versions) -> Versions {
        let of = |is_named: bool, other: &String| {
            if is_named { self.version.clone() } else { other.clone() }
        };
        (of(self.cluster, cluster), of(self.profile, profile))
    }
}

/// The edits of a remedy: each version in quotes, with the tables that are named before it.
fn edits(remedy: &str) -> Vec<VersionEdit> {
    let mut edits = Vec::new();
    let (mut cluster, mut profile, mut is_complete) = (false, false, false);
    for word in remedy.split_whitespace() {
        let names_cluster = word.starts_with("[cluster]");
        let names_profile = word.starts_with("[profiles.") || word.starts_with("profile");
        if names_cluster || names_profile {
            let before = if is_complete { (false, false) } else { (cluster, profile) };
            (cluster, profile) = (before.0 || names_cluster, before.1 || names_profile);
            is_complete = false;
        }
        let quoted = word.split('"').nth(1).filter(|it| it.starts_with("1."));
        if let Some(version) = quoted {
            is_complete = true;
            edits.push(VersionEdit { cluster, profile, version: version.to_owned() });
        }
    }
    edits
}

/// A deployment, and whether the topology calls its cluster existing.
struct Case {
    name: &'static str,
    deployment: Deployment,
    existing: bool,
}

impl Case {
    fn text(&self, (cluster, profile): &Versions) -> String {
        let text = with_versions(EXAMPLE, cluster, profile) + NEW_WORKER;
        if !self.existing {
            return text;
        }
        assert!(text.contains(POOL));
        text.replace(POOL, "").replace("[cluster] ", "[cluster]\nexisting = true\n# ")
    }

    /// The findings about versions, of the file or of the plan.
    async fn findings(&self, versions: &Versions) -> Vec<Failure> {
        let text = self.text(versions);
        let of_file = match load_text("stargate.toml", &text) {
            Ok(loaded) => loaded.warnings,
            Err(errors) => errors.list,
        };
        let is_valid = load_text("stargate.toml", &text).is_ok();
        let of_file = of_file.into_iter().map(|it| Failure::new(it.code, it.message, it.remedy));
        let mut found: Vec<Failure> = of_file.collect();
        if is_valid {
            let plan = self.deployment.edited(&text).plan().await;
            found.extend(plan.blocked.iter().map(|it| it.failure.clone()));
            found.extend(plan.findings.iter().map(|it| it.failure.clone()));
        }
        // A dependent names the object to follow.
        found.retain(|it| CODES.contains(&it.code) && !it.remedy.starts_with("follow the help"));
        found
    }
}

async fn case(
    name: &'static str,
    (cluster, profile): (&str, &str),
    prepare: impl FnOnce(&Deployment),
) -> Case {
    let deployment =
        Deployment::of(&with_versions(EXAMPLE, cluster, profile), SandboxState::new(31));
    deployment.iterate().await;
    prepare(&deployment);
    Case { name, deployment, existing: false }
}

/// Others set the versions of the control plane and of the pool.
fn runs(control_plane: &'static str, pool: &'static str) -> impl FnOnce(&Deployment) {
    move |deployment| {
        change_cluster(deployment, |cluster| {
            cluster["currentKubernetesVersion"] = json!(control_plane);
            cluster["agentPoolProfiles"][0]["currentOrchestratorVersion"] = json!(pool);
        });
    }
}

fn existing(case: Case) -> Case {
    Case { existing: true, ..case }
}

async fn cases() -> Vec<Case> {
    let same = || ("1.33.5", "1.33.5");
    vec![
        case("as applied", same(), |_| {}).await,
        case("newer workers", ("1.33.5", "1.33.7"), |_| {}).await,
        case("upgraded patch", same(), runs("1.33.7", "1.33.5")).await,
        case("upgraded minor", same(), runs("1.34.5", "1.34.5")).await,
        case("newer pool", same(), runs("1.33.5", "1.33.7")).await,
        case("old workers", ("1.33.5", "1.30.5"), |_| {}).await,
        case("unsupported workers", ("1.33.5", "1.31.5"), runs("1.35.5", "1.35.5")).await,
        case("the next version ended", same(), |it| {
            it.inject(Fault::VersionEnded, Some("1.34"));
        })
        .await,
        existing(case("existing", same(), |_| {}).await),
        existing(case("existing, upgraded", same(), runs("1.34.5", "1.34.5")).await),
    ]
}

const CLUSTER_VERSIONS: [&str; 9] =
    ["1.32", "1.33", "1.33.4", "1.33.5", "1.33.99", "1.34", "1.34.5", "1.35", "1.37.5"];
const PROFILE_VERSIONS: [&str; 9] =
    ["1.29.5", "1.31", "1.33", "1.33.4", "1.33.5", "1.33.7", "1.34", "1.34.7", "1.35.5"];

/// The findings and the edits of their remedies, from some versions on.
#[derive(Default)]
struct Graph {
    edges: BTreeMap<Versions, BTreeSet<Versions>>,
    wrong: Vec<String>,
}

impl Graph {
    async fn visit(&mut self, case: &Case, from: Versions) {
        let mut open = vec![from];
        while let Some(versions) = open.pop() {
            if self.edges.contains_key(&versions) {
                continue;
            }
            let mut next = BTreeSet::new();
            for found in case.findings(&versions).await {
                let edits = edits(&found.remedy);
                let named = |what: &str| format!("{} {versions:?}: {what}: {found:?}", case.name);
                if edits.is_empty() {
                    self.wrong.push(named("no edit"));
                }
                for edit in edits {
                    let edited = edit.apply(&versions);
                    if edited == versions {
                        self.wrong.push(named("no change"));
                    }
                    next.insert(edited);
                }
            }
            open.extend(next.iter().cloned());
            self.edges.insert(versions, next);
        }
    }

    /// A circle of edits, if there is one.
    fn circle(&self) -> Option<Vec<&Versions>> {
        let mut done = BTreeSet::new();
        self.edges.keys().find_map(|from| self.circle_from(from, &mut Vec::new(), &mut done))
    }

    fn circle_from<'a>(
        &'a self,
        from: &'a Versions,
        path: &mut Vec<&'a Versions>,
        done: &mut BTreeSet<&'a Versions>,
    ) -> Option<Vec<&'a Versions>> {
        if let Some(start) = path.iter().position(|it| *it == from) {
            return Some(path[start..].to_vec());
        }
        if !done.insert(from) {
            return None;
        }
        path.push(from);
        let circle = self.edges[from].iter().find_map(|next| self.circle_from(next, path, done));
        path.pop();
        circle
    }
}

/// From every state and every pair of versions, every remedy is followed, with each of its
/// alternatives.
#[tokio::test(start_paused = true)]
async fn remedies_for_versions_end_in_a_plan_without_a_finding() {
    let mut wrong = Vec::new();
    for case in cases().await {
        let mut graph = Graph::default();
        for cluster in CLUSTER_VERSIONS {
            for profile in PROFILE_VERSIONS {
                graph.visit(&case, (cluster.to_owned(), profile.to_owned())).await;
            }
        }
        if let Some(circle) = graph.circle() {
            wrong.push(format!("{}: a circle: {circle:?}", case.name));
        }
        wrong.append(&mut graph.wrong);
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

/// The topology may name only the minor version of the control plane: the live one counts.
#[tokio::test(start_paused = true)]
async fn a_kubelet_of_a_newer_patch_than_the_live_control_plane_is_reported() {
    for (cluster, profile, is_newer) in [
        ("1.33", "1.33.7", true),
        ("1.33.5", "1.33.6", false),
        ("1.33", "1.33.5", false),
        ("1.33", "1.33", false),
    ] {
        let case = case("", ("1.33", "1.33"), |_| {}).await;
        let plan = case.deployment.edited(&with_versions(EXAMPLE, cluster, profile)).plan().await;
        let warnings = plan.findings.iter().filter(|it| it.failure.code == Code::LiveVersionSkew);
        let warnings: Vec<_> = warnings.map(|it| (it.severity, &it.failure)).collect();
        // `stargate validate` compares two exact versions.
        assert_eq!(warnings.len(), usize::from(is_newer), "{cluster} {profile}: {warnings:?}");
        for (severity, failure) in warnings {
            assert_eq!(severity, FindingSeverity::Warning);
            assert!(failure.message.contains("1.33.5"), "{failure:?}");
        }
    }
}

/// A profile whose version no worker can get is not written, nor are the records of its workers.
#[tokio::test(start_paused = true)]
async fn a_version_that_is_blocked_for_all_workers_does_not_reach_their_profile() {
    let live = existing(case("", ("1.33.5", "1.33.5"), |_| {}).await);
    for profile in ["1.34.5", "1.34"] {
        let text = live.text(&("1.34".to_owned(), profile.to_owned())).replace(NEW_WORKER, "");
        let edited = live.deployment.edited(&text);
        let plan = edited.plan().await;
        let is_profile = |kind: Kind| kind == Kind::ProvisioningProfile;
        let blocked = plan.blocked.iter().find(|it| is_profile(it.address.kind));
        let blocked = blocked.unwrap_or_else(|| panic!("{}", summary(&plan)));
        assert_eq!(blocked.failure.code, Code::LiveVersionSkew, "{}", summary(&plan));
        let written = plan.changes.iter().filter(|it| {
            is_profile(it.address.kind) || matches!(it.address.kind, Kind::Server | Kind::Worker)
        });
        assert_eq!(written.count(), 0, "{}", summary(&plan));
        edited.apply(&RefreshOptions::default()).await;
        let version = edited.sandbox.read(|sandbox| {
            let store = sandbox.kubernetes.as_ref().unwrap();
            let profiles = store.list("stargate.io/v1alpha1", "ProvisioningProfile", None);
            profiles[0]["spec"]["kubernetesVersion"].clone()
        });
        assert_eq!(version, json!("1.33.5"));
    }
}
