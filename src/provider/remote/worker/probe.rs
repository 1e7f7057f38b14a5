//! The probe of a worker.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::super::files;
use super::super::foreign_rules::foreign_rules;
use super::super::kernel::{KernelState, kernel_routes, on_link};
use super::super::output::{ProbeError, ProbeOutput};
use super::super::script::{HostScript, Script};
use super::{CniRelease, MODULES, SYSCTLS, cni, containerd, kubelet};
use crate::provider::host::WorkerProbe;
use crate::provider::printable::line as printable;
use crate::resource::host::{KernelRoute, WorkerHost};
use crate::resource::version::KubernetesVersion;

/// The script, which changes nothing.
pub(in super::super) fn script() -> HostScript {
    let names: Vec<&str> = sysctls().map(|(name, _)| name).collect();
    Script::probe_script("probe the worker")
        .value("known_table", "")
        .value("sysctl_names", &names.join(" "))
        .build(include_str!("../sh/worker_probe.sh"))
}

/// The sysctls that stargate sets, with their values.
fn sysctls() -> impl Iterator<Item = (&'static str, &'static str)> {
    SYSCTLS.lines().filter_map(|line| line.split_once(" = "))
}

/// Parses the output.
pub(in super::super) fn parse(hostname: &str, stdout: &str) -> Result<WorkerProbe, ProbeError> {
    let output = ProbeOutput::read(hostname, stdout)?;
    let architecture = printable(output.line("architecture")?);
    let routes = kernel_routes(&output)?;
    let routes_persistent = routes_are_persistent(&output, &routes);
    let says_yes = |part| Ok::<_, ProbeError>(output.line(part)? == "yes");
    Ok(WorkerProbe {
        hostname: hostname.to_owned(),
        modules: modules(&output)?,
        container_runtime_version: container_runtime(&output)?,
        kubelet_version: kubelet_version(&output)?,
        staged_packages: output.line("staged")?.parse().ok(),
        cni_plugins: cni_plugins(&output, &architecture)?,
        cluster_ca_digest: first_word(output.line("cluster_ca")?),
        kubelet_configuration_digest: kubelet_digest(&output)?,
        client_certificate: says_yes("certificate")?,
        bootstrap_kubeconfig: says_yes("bootstrap")?,
        routes_persistent,
        on_link: on_link(&output)?,
        foreign_rules: foreign_rules(&output)?,
        boot_id: printable(output.line("boot_id")?),
        host: WorkerHost {
            cni_configuration: output.text("cni_file")?.and_then(cni::subnet_of),
            cni_chosen: non_empty(printable(output.line("cni_chosen")?)),
            ip_forwarding: output.line("forwarding")? == "1",
            wrong_sysctls: wrong_sysctls(&output)?,
            swap: output.text("swap")?.unwrap_or_default().lines().map(printable).collect(),
            persistent: kernel_is_persistent(&output),
            container_runtime_active: output.line("containerd_active")? == "active",
            kubelet_active: output.line("kubelet_active")? == "active",
            kernel_routes: routes.known.into(),
            stamp: stamp(&output)?,
        },
        architecture,
    })
}

/// Sysctls that have another value than stargate's, with that value.
fn wrong_sysctls(output: &ProbeOutput) -> Result<BTreeMap<String, String>, ProbeError> {
    let text = output.text("sysctls")?.unwrap_or_default();
    let found: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once(" = ")).collect();
    let wrong = sysctls().filter_map(|(name, desired)| match found.get(name) {
        Some(value) if value.trim() == desired => None,
        Some(value) => Some((name.to_owned(), printable(value))),
        None => Some((name.to_owned(), "missing".to_owned())),
    });
    Ok(wrong.collect())
}

/// Whether sysctls, modules and swap are the same after a boot, after the files of others.
fn kernel_is_persistent(output: &ProbeOutput) -> bool {
    output.file_has_content("sysctls_file", SYSCTLS)
        && output.file_has_content("modules_file", MODULES)
        && output.file_has_content("apply", files::APPLY)
        && output.file_has_content("unit", &super::unit())
        && output.line("unit_enabled") == Ok("enabled")
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(printable)
}

/// Modules that are loaded, and will be after the next boot.
fn modules(output: &ProbeOutput) -> Result<BTreeSet<String>, ProbeError> {
    if !output.file_has_content("modules_file", MODULES) {
        return Ok(BTreeSet::new());
    }
    let found = output.text("modules")?.unwrap_or_default();
    let known = |line: &&str| MODULES.lines().any(|module| module == *line);
    Ok(found.lines().filter(known).map(str::to_owned).collect())
}

/// `containerd github.com/containerd/containerd v1.7.34 …`, if its configuration is stargate's.
/// Without that it does not count as installed.
fn container_runtime(output: &ProbeOutput) -> Result<Option<String>, ProbeError> {
    let words = output.line("containerd")?.split_whitespace().nth(2);
    let Some(version) = words.map(|word| word.trim_start_matches('v')) else { return Ok(None) };
    let configured = output.file_has_content("containerd_file", containerd::of_version(version));
    Ok(configured.then(|| printable(version)))
}

/// `Kubernetes v1.33.7`.
fn kubelet_version(output: &ProbeOutput) -> Result<Option<KubernetesVersion>, ProbeError> {
    let line = output.line("kubelet")?;
    Ok(line.strip_prefix("Kubernetes ").and_then(|version| version.parse().ok()))
}

/// Whether the installed archive is the pinned one, or the preinstalled plugins were checked, and
/// the plugins are unchanged since.
fn cni_plugins(output: &ProbeOutput, architecture: &str) -> Result<bool, ProbeError> {
    let noted = output.text("cni_plugins")?.and_then(files::body).unwrap_or_default();
    let Some((archive, sums)) = noted.split_once('\n') else { return Ok(false) };
    let found = output.text("cni_sums")?.unwrap_or_default();
    let pinned = CniRelease::pinned();
    let known = [pinned.digest(architecture), cni::PREINSTALLED].contains(&archive);
    Ok(known && !sums.is_empty() && sums == found)
}

fn kubelet_digest(output: &ProbeOutput) -> Result<Option<String>, ProbeError> {
    let noted = output.text("kubelet_digest")?.and_then(files::body).unwrap_or_default();
    Ok(kubelet::digest_on_disk(noted, output.line("kubelet_sum")?).map(|digest| printable(&digest)))
}

fn stamp(output: &ProbeOutput) -> Result<Option<String>, ProbeError> {
    let text = output.text("stamp")?.and_then(files::body);
    Ok(text.and_then(|text| text.lines().next()).map(printable))
}

/// Whether the files match the kernel, and the unit that restores them is enabled.
fn routes_are_persistent(
    output: &ProbeOutput,
    routes: &KernelState<BTreeMap<Ipv4Net, KernelRoute>>,
) -> bool {
    let text = files::routes(&routes.known);
    let read = text.is_empty()
        || (output.file_has_content("apply", files::APPLY)
            && output.file_has_content("unit", &super::unit())
            && output.line("unit_enabled") == Ok("enabled"));
    !routes.unexpected && read && output.file_has_content_or_is_absent("routes_file", &text)
}

#[cfg(test)]
mod tests;
