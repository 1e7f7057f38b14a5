//! A look at a worker.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::super::HostScript;
use super::super::answer::{Answer, ProbeError};
use super::super::files;
use super::super::kernel::{Kernel, kernel_routes};
use super::super::script::Script;
use super::{CniRelease, MODULES, SYSCTLS, cni, containerd, kubelet};
use crate::provider::host::WorkerProbe;
use crate::provider::printable::line as printable;
use crate::resource::host::{KernelRoute, WorkerHost};
use crate::resource::version::KubernetesVersion;

/// The script of the look; it changes nothing.
pub(in super::super) fn script() -> HostScript {
    Script::look("look at the worker").runs(include_str!("../sh/worker_probe.sh"))
}

/// What the look found.
pub(in super::super) fn parse(hostname: &str, stdout: &str) -> Result<WorkerProbe, ProbeError> {
    let answer = Answer::read(hostname, stdout)?;
    let architecture = printable(answer.line("architecture")?);
    let routes = kernel_routes(&answer)?;
    let routes_persistent = routes_come_back(&answer, &routes);
    let says_yes = |part| Ok::<_, ProbeError>(answer.line(part)? == "yes");
    Ok(WorkerProbe {
        hostname: hostname.to_owned(),
        modules: modules(&answer)?,
        container_runtime_version: container_runtime(&answer)?,
        kubelet_version: kubelet_version(&answer)?,
        cni_plugins: cni_plugins(&answer, &architecture)?,
        cluster_ca_digest: first_word(answer.line("cluster_ca")?),
        kubelet_configuration_digest: kubelet_digest(&answer)?,
        client_certificate: says_yes("certificate")?,
        bootstrap_kubeconfig: says_yes("bootstrap")?,
        routes_persistent,
        boot_id: printable(answer.line("boot_id")?),
        host: WorkerHost {
            cni_configuration: answer.text("cni_file")?.and_then(cni::subnet_of),
            cni_chosen: non_empty(printable(answer.line("cni_chosen")?)),
            ip_forwarding: answer.line("forwarding")? == "1"
                && answer.file_says("sysctls_file", SYSCTLS),
            swap_off: answer.line("swap")?.is_empty(),
            container_runtime_active: answer.line("containerd_active")? == "active",
            kubelet_active: answer.line("kubelet_active")? == "active",
            kernel_routes: routes.known,
            stamp: stamp(&answer)?,
        },
        architecture,
    })
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn first_word(line: &str) -> Option<String> {
    line.split_whitespace().next().map(printable)
}

/// Modules that are there now and after the next boot.
fn modules(answer: &Answer) -> Result<BTreeSet<String>, ProbeError> {
    if !answer.file_says("modules_file", MODULES) {
        return Ok(BTreeSet::new());
    }
    let found = answer.text("modules")?.unwrap_or_default();
    let known = |line: &&str| MODULES.lines().any(|module| module == *line);
    Ok(found.lines().filter(known).map(str::to_owned).collect())
}

/// `containerd github.com/containerd/containerd v1.7.34 …`, where its configuration
/// is ours: one that nobody configured is none yet.
fn container_runtime(answer: &Answer) -> Result<Option<String>, ProbeError> {
    let words = answer.line("containerd")?.split_whitespace().nth(2);
    let Some(version) = words.map(|word| word.trim_start_matches('v')) else { return Ok(None) };
    let configured = answer.file_says("containerd_file", containerd::of_version(version));
    Ok(configured.then(|| printable(version)))
}

/// `Kubernetes v1.33.7`.
fn kubelet_version(answer: &Answer) -> Result<Option<KubernetesVersion>, ProbeError> {
    let line = answer.line("kubelet")?;
    Ok(line.strip_prefix("Kubernetes ").and_then(|version| version.parse().ok()))
}

/// The noted archive is the pinned one, or the site's own plugins were checked, and
/// the plugins still are what they were then.
fn cni_plugins(answer: &Answer, architecture: &str) -> Result<bool, ProbeError> {
    let noted = answer.text("cni_plugins")?.and_then(files::body).unwrap_or_default();
    let Some((archive, sums)) = noted.split_once('\n') else { return Ok(false) };
    let found = answer.text("cni_sums")?.unwrap_or_default();
    let pinned = CniRelease::pinned();
    let known = [pinned.digest(architecture), cni::PREINSTALLED].contains(&archive);
    Ok(known && !sums.is_empty() && sums == found)
}

fn kubelet_digest(answer: &Answer) -> Result<Option<String>, ProbeError> {
    let noted = answer.text("kubelet_digest")?.and_then(files::body).unwrap_or_default();
    Ok(kubelet::digest_on_disk(noted, answer.line("kubelet_sum")?).map(|digest| printable(&digest)))
}

fn stamp(answer: &Answer) -> Result<Option<String>, ProbeError> {
    let text = answer.text("stamp")?.and_then(files::body);
    Ok(text.and_then(|text| text.lines().next()).map(printable))
}

/// Whether the files say what the kernel does, and something will read them.
fn routes_come_back(answer: &Answer, routes: &Kernel<BTreeMap<Ipv4Net, KernelRoute>>) -> bool {
    let text = files::routes(&routes.known);
    let read = text.is_empty()
        || (answer.file_says("apply", files::APPLY)
            && answer.file_says("unit", &super::unit())
            && answer.line("unit_enabled") == Ok("enabled"));
    !routes.odd && read && answer.file_says_or_lacks("routes_file", &text)
}

#[cfg(test)]
mod tests;
