use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::provider::host::KubeletConfiguration;
use crate::provider::secret::Secret;
use crate::resource::host::KernelRoute;
use crate::resource::settings::PackageSource;

fn configuration() -> KubeletConfiguration {
    KubeletConfiguration {
        node_name: "dc1-w1".to_owned(),
        node_ip: [10, 50, 1, 5].into(),
        cluster_dns: [10, 0, 0, 10].into(),
        labels: BTreeMap::from([
            ("kubernetes.azure.com/managed".to_owned(), "false".to_owned()),
            ("node-role.kubernetes.io/worker".to_owned(), "x".to_owned()),
            ("stargate.io/topology".to_owned(), "it's $(id)".to_owned()),
        ]),
        taints: BTreeSet::from(["site=remote:NoSchedule".to_owned()]),
        provider_id: "stargate:///dc1/dc1-w1".to_owned(),
        max_pods: 250,
        digest: "0123".to_owned(),
    }
}

/// The values of a script, without the tools and the body.
fn rendered(script: &HostScript) -> String {
    let values = script.script.split("# Tools of all scripts").next().unwrap();
    let values = values.split("apply='").next().unwrap();
    let (label, timeout, stdin) = (script.label, script.timeout, &script.stdin);
    format!("{label:?}, within {timeout:?}, reads {stdin:?}\n{values}")
}

#[test]
fn scripts_read_well() {
    let route = ("10.244.0.0/16".parse().unwrap(), KernelRoute::Via([10, 60, 0, 2].into()));
    let token = Secret::new("abcdef.0123456789abcdef");
    let steps = [
        WorkerStep::Kernel,
        WorkerStep::KernelRoutes(BTreeMap::from([route])),
        WorkerStep::StagePackages("1.33.7".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::ContainerRuntime(PackageSource::Upstream),
        WorkerStep::Kubelet("1.33.7".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::CniPlugins(PackageSource::Upstream),
        WorkerStep::ClusterCa { pem: "PEM\n".to_owned() },
        WorkerStep::BootstrapKubeconfig { server: "https://api:443".to_owned(), token },
        WorkerStep::KubeletConfiguration(configuration()),
        WorkerStep::CniConfiguration { subnet: "10.244.65.0/24".parse().unwrap() },
        WorkerStep::Start,
        WorkerStep::RemoveBootstrapKubeconfig,
        WorkerStep::Stamp { digest: "0123".to_owned() },
        WorkerStep::Reboot { from_boot: "0c2f5a1e-7d41-4c0b-9c0e-1f2a3b4c5d6e".to_owned() },
        WorkerStep::Reset,
    ];
    let all: Vec<String> = steps.iter().map(|one| rendered(&step("demo", one))).collect();
    assert!(!all.concat().contains("0123456789abcdef"));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn a_token_is_in_no_script() {
    let token = Secret::new("abcdef.marked");
    let bootstrap = WorkerStep::BootstrapKubeconfig { server: "https://api:443".to_owned(), token };
    let script = step("demo", &bootstrap);
    assert!(!script.script.contains("marked") && !format!("{script:?}").contains("marked"));
    let kubeconfig: serde_json::Value =
        serde_json::from_str(script.stdin.unwrap().expose()).unwrap();
    assert_eq!(kubeconfig["users"][0]["user"]["token"], "abcdef.marked");
    assert_eq!(kubeconfig["clusters"][0]["cluster"]["server"], "https://api:443");
}
