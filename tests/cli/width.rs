//! No output line of any command is wider than 80 columns, unless it is a single token to
//! copy, such as an ID or a path.

use stargate::sandbox::faults::Fault;

use super::location::{TestFolder, too_wide};

#[track_caller]
fn fits(location: &TestFolder, line: &str) {
    let ran = super::location::Ran::of(location.command(line).env("COLUMNS", "80"));
    for text in [&ran.out, &ran.err] {
        assert!(too_wide(text).is_empty(), "`{line}`: {:#?}", too_wide(text));
    }
}

/// Commands that print the state.
const READS: [&str; 7] = [
    "plan --sandbox",
    "drift --sandbox",
    "status --sandbox",
    "check --sandbox",
    "check --live --sandbox",
    "routes --sandbox",
    "trace stargate-aks-e2e-2-worker-1 10.244.1.10 --sandbox",
];

fn reads_fit(location: &TestFolder) {
    READS.iter().for_each(|line| fits(location, line));
}

#[test]
fn the_life_of_a_deployment_fits_the_width() {
    let location = TestFolder::empty();
    fits(&location, "plan --sandbox");
    fits(&location, "init");
    location.write("stargate.toml", super::location::EXAMPLE);
    fits(&location, "validate");
    reads_fit(&location);
    fits(&location, "apply --sandbox");
    fits(&location, "apply --sandbox --yes -v");
    fits(&location, "sandbox log --all");
    reads_fit(&location);
    let topology = location.read("stargate.toml");
    let removed =
        topology.find("[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-2\"");
    let shorter = &topology[..removed.expect("the second worker")];
    location.write("stargate.toml", shorter.replace("max = 5", "max = 6"));
    reads_fit(&location);
    fits(&location, "plan --sandbox --out plan.json");
    fits(&location, "apply --sandbox plan.json");
    fits(&location, "apply --sandbox --yes --allow-loss");
    fits(&location, "repave --sandbox --yes stargate-aks-e2e-2-worker-1");
    fits(&location, "reboot --sandbox stargate-aks-e2e-2-worker-9");
    fits(&location, "destroy --sandbox");
    fits(&location, "destroy --sandbox --yes");
}

#[test]
fn faults_and_their_effects_fit_the_width() {
    std::thread::scope(|scope| {
        for part in Fault::ALL.chunks(Fault::ALL.len().div_ceil(4)) {
            scope.spawn(move || {
                for fault in part {
                    let location = TestFolder::applied();
                    fits(&location, &format!("sandbox break {fault}"));
                    fits(&location, "drift --sandbox");
                    fits(&location, "status --sandbox");
                    fits(&location, "apply --sandbox --yes");
                }
            });
        }
    });
}

#[test]
fn errors_fit_the_width() {
    let location = TestFolder::applied();
    for line in [
        "plan --sandbox --replace foo/bar",
        "plan --sandbox --replace route-table/cluster/nothing-of-this-very-long-name",
        "plan --sandbox --adopt-from Not_A_Name_That_Is_Allowed_For_Any_Topology_Of_Stargate",
        "apply --sandbox --frobnicate-everything-that-this-topology-describes --yes --no-lease",
        "sandbox break no-fault-of-this-name",
        "trace unknown-host-of-this-name stargate-aks-e2e-2-worker-1 --sandbox",
        "explain SG9999",
    ] {
        fits(&location, line);
    }
    let only_users = location.read("stargate.toml").replace("min = 2 ", "min = 0 ");
    location.write("stargate.toml", only_users);
    fits(&location, "validate");
}
