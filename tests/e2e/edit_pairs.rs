//! Random pairs of edits in one file: one apply converges or reports a code for each
//! refusal, no pair is lost that the plan did not announce, and protected objects stay.

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::resource::ArmId;
use stargate::sandbox::{SandboxState, arm};
use stargate::topology::load::load_text;

use crate::announced_losses::apply;
use crate::block_edits::{EDITS, Edit};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, summary};

/// How many pairs of edits are tried.
const PAIRS: u64 = 48;

/// Edits beside those of single blocks.
const MORE: &[(&str, &str, &str)] = &[
    ("another address of a worker", "10.60.1.5", "10.60.1.15"),
    ("another address of a router", "10.60.0.4", "10.60.0.14"),
    ("more nodes", "count = 3", "count = 4"),
    (
        "another size of the machines",
        "vm_size = \"Standard_D2s_v5\"\n\n[datacenters.cloud.router]",
        "vm_size = \"Standard_D4s_v5\"\n\n[datacenters.cloud.router]",
    ),
    ("a protected datacenter", "[datacenters.cloud]\n", "[datacenters.cloud]\nprotect = true\n"),
    (
        "a protected router",
        "name = \"attic-router\"\n",
        "name = \"attic-router\"\nprotect = true\n",
    ),
    ("translated sources", "\"preserve\"", "\"masquerade\""),
    (
        "a worker without its protection",
        "name = \"cloud-a\"\nprotect = true\n",
        "name = \"cloud-a\"\n",
    ),
    ("a worker less", "[[datacenters.cloud.workers]]\nname = \"cloud-a\"\nprotect = true\n", ""),
];

/// One of the edits.
#[derive(Clone, Copy)]
enum Choice {
    Block(&'static Edit),
    More(&'static (&'static str, &'static str, &'static str)),
}

impl Choice {
    fn all() -> Vec<Self> {
        EDITS.iter().map(Self::Block).chain(MORE.iter().map(Self::More)).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Block(edit) => edit.name,
            Self::More((name, ..)) => name,
        }
    }

    /// The edited text; `None` if it does not contain the original.
    fn edit(self, text: &str) -> Option<String> {
        match self {
            Self::Block(edit) => edit.edit(text),
            Self::More((_, from, to)) => text.contains(from).then(|| text.replace(from, to)),
        }
    }

    fn replaced(self) -> &'static [&'static str] {
        match self {
            Self::Block(edit) => edit.replace,
            Self::More(_) => &[],
        }
    }
}

/// A linear congruential generator: the same pairs in every run.
struct Random(u64);

impl Random {
    fn choose<T: Copy>(&mut self, all: &[T]) -> T {
        let Self(state) = self;
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let number = usize::try_from(*state >> 33).unwrap();
        all[number % all.len()]
    }
}

/// The identities of the protected objects.
fn protected_objects(state: &SandboxState) -> Value {
    let machine = ArmId::resource_group(arm::SUBSCRIPTION, "lab-cloud")
        .in_group("Microsoft.Compute/virtualMachines", "cloud-a");
    let device = state.tailnet.devices().find(|device| device.hostname == "attic-router");
    json!({
        "machine": state.arm.get(&machine).map(|machine| machine["properties"]["vmId"].clone()),
        "device": device.map(|device| &device.node_id),
    })
}

/// Machines that existed before get the addresses of the file, as from their operator.
fn readdress(deployment: &Deployment) {
    let topology = deployment.topology.clone();
    deployment.sandbox.change(|state, _| {
        for datacenter in topology.datacenters.iter().filter(|it| it.is_existing()) {
            let router = (datacenter.router.name.to_string(), datacenter.router.ip);
            let workers = datacenter.workers.iter();
            let workers = workers.filter_map(|it| Some((it.name.to_string(), it.ip?)));
            for (name, address) in workers.chain([router]) {
                let labels: Vec<String> = state
                    .hosts
                    .named(&name)
                    .filter(|(_, host)| is_existing(host))
                    .map(|(label, _)| label.to_owned())
                    .collect();
                for label in labels {
                    state.hosts.get_labelled_mut(&label).unwrap().ip = address;
                }
            }
        }
    });
}

fn is_existing(host: &stargate::sandbox::hosts::EmulatedHost) -> bool {
    matches!(host.kind, stargate::sandbox::hosts::HostKind::Existing { .. })
}

/// The violation by the apply of a text, if there is one.
async fn problem(
    before: &Deployment,
    text: &str,
    replaced: &[&str],
    is_protected: bool,
) -> Option<String> {
    let state = before.copy_of_state();
    load_text("stargate.toml", text).ok()?;
    let deployment = Deployment::of(text, state.clone());
    readdress(&deployment);
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::replacing(replaced) };
    let applied = apply(&deployment, &options).await;
    let understated = applied.understated();
    if understated.is_some() {
        return understated.map(|it| format!("{it}\n{}", applied.report));
    }
    match &applied.status {
        ApplyStatus::Converged => {
            let left = deployment.plan().await;
            if !left.is_empty() {
                return Some(format!("it does not converge:\n{}", summary(&left)));
            }
        }
        ApplyStatus::Blocked => {}
        // A source that does not identify the owner of an object refuses the whole edit.
        ApplyStatus::Partial(_) if applied.iterations == 0 => {}
        other => return Some(format!("{other:?}\n{}", applied.report)),
    }
    let lifts = !text.contains("name = \"cloud-a\"\nprotect = true\n")
        && text.contains("name = \"cloud-a\"\n");
    if is_protected && !lifts {
        let now = deployment.sandbox.read(protected_objects);
        let then = protected_objects(&state);
        return (then != now).then(|| format!("{then} became {now}\n{}", applied.report));
    }
    None
}

async fn check_pairs(base: &str, is_protected: bool, seed: u64) {
    let deployment = Deployment::of(base, SandboxState::new(seed));
    deployment.iterate().await;
    let mut random = Random(seed);
    let choices = Choice::all();
    let (mut tried, mut problems) = (0, Vec::new());
    while tried < PAIRS {
        let (one, other) = (random.choose(&choices), random.choose(&choices));
        let Some(text) = one.edit(base).and_then(|text| other.edit(&text)) else { continue };
        tried += 1;
        // The Nodes of a former cluster are not read: its pairs are estimated.
        if [one, other].iter().any(|it| it.name().contains("another name of the cluster, with")) {
            continue;
        }
        let name = format!("{} and {}", one.name(), other.name());
        let replaced: Vec<&str> = one.replaced().iter().chain(other.replaced()).copied().collect();
        let found = problem(&deployment, &text, &replaced, is_protected).await;
        problems.extend(found.map(|problem| format!("== {name}: {problem}")));
    }
    assert!(problems.is_empty(), "{} of {tried}:\n{}", problems.len(), problems.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn two_edits_converge_or_are_refused() {
    check_pairs(TWO_DATACENTERS, false, 1).await;
}

#[tokio::test(start_paused = true)]
async fn two_edits_touch_nothing_protected() {
    let base = TWO_DATACENTERS
        .replace("name = \"cloud-a\"\n", "name = \"cloud-a\"\nprotect = true\n")
        .replace("name = \"attic-router\"\n", "name = \"attic-router\"\nprotect = true\n");
    check_pairs(&base, true, 2).await;
}
