//! The base of the scripts for workers: their folder, and variables that several use.

use super::super::script::Script;
use crate::resource::settings::PackageSource;

/// The folder of stargate's files on a worker.
pub(super) const FOLDER: &str = "/etc/stargate/worker";

/// A script that changes something in the worker's folder.
pub(super) fn begin(label: &'static str, topology: &str) -> Script {
    Script::change(label, topology).value("folder", FOLDER)
}

/// Sets whether a script may install packages.
pub(super) fn packages(script: Script, source: PackageSource) -> Script {
    let preinstalled = if source == PackageSource::Preinstalled { "yes" } else { "" };
    script.with_packages().value("preinstalled", preinstalled)
}
