//! Files with saved plans.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::error::CliError;
use crate::diagnostics::Code;
use crate::plan::Plan;
use crate::plan::saved_plan::{Expected, PlanFileError, PlanKey, SavedPlan, begins_saved_plan};
use crate::topology::load::Loaded;

/// The variable with the key that signs saved plans.
const KEY_VARIABLE: &str = "STARGATE_PLAN_KEY";

/// How much of a file is read to recognise a saved plan, in bytes.
const HEAD_BYTES: u64 = 64;

/// The key in `STARGATE_PLAN_KEY`. A variable that is set and too short is an error: a
/// secret that a CI system left empty must not switch the verification off.
pub(crate) fn key() -> Result<Option<PlanKey>, CliError> {
    let Some(secret) = std::env::var_os(KEY_VARIABLE) else { return Ok(None) };
    PlanKey::new(secret.as_encoded_bytes()).map(Some).map_err(|error| {
        CliError::coded(Code::PlanSignature, format!("{KEY_VARIABLE} cannot be used: {error}"))
            .remedy("create one with `openssl rand -hex 32`, or unset the variable")
    })
}

/// Reads a saved plan of the topology.
pub(crate) fn read(
    path: &Path,
    loaded: &Loaded,
    key: Option<&PlanKey>,
) -> Result<SavedPlan, CliError> {
    let bytes = fs::read(path).map_err(|error| {
        CliError::coded(
            Code::Unreadable,
            format!("the plan `{}` cannot be read: {error}", path.display()),
        )
        .remedy("create one with `stargate plan --out FILE`")
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| PlanFileError::Damaged("it is not UTF-8".to_owned()))?;
    let expected = Expected {
        stargate_version: env!("CARGO_PKG_VERSION"),
        topology: loaded.topology.name.as_str(),
        topology_digest: &loaded.digest,
        key,
    };
    Ok(SavedPlan::from_text(&text, expected)?)
}

/// Checks that a plan may be written to a path: there is nothing, an empty file or a
/// saved plan.
pub(crate) fn check_output(path: &Path, topology: &Path) -> Result<(), CliError> {
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(not_written(path, &error)),
    };
    let refused = |reason: &str| {
        let message = format!("`{}` would be overwritten: {reason}", path.display());
        CliError::coded(Code::OutputExists, message)
            .remedy("choose another path for `--out`, such as `plan.json`")
    };
    if fs::metadata(topology).is_ok_and(|topology| is_same_file(&about, &topology)) {
        return Err(refused("it is the topology"));
    }
    if !about.is_file() {
        return Err(refused("it is not a regular file"));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    read.map_err(|error| not_written(path, &error))?;
    if about.len() > 0 && !begins_saved_plan(&String::from_utf8_lossy(&head)) {
        return Err(refused("it is not a saved plan"));
    }
    Ok(())
}

#[cfg(unix)]
fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same_file(_: &Metadata, _: &Metadata) -> bool {
    // A topology is not a saved plan, so it is not overwritten in any case.
    false
}

/// Writes a plan, whole or not at all: an older plan stays until the new one is
/// complete.
pub(crate) fn write(
    path: &Path,
    saved: &SavedPlan<&Plan>,
    key: Option<&PlanKey>,
) -> Result<(), CliError> {
    // A link stays one.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let draft = draft_path(&target);
    let written = write_draft(&draft, saved, key).and_then(|()| fs::rename(&draft, &target));
    written.map_err(|error| {
        // The draft may not exist; the error that is reported says more.
        let _ = fs::remove_file(&draft);
        not_written(path, &error)
    })
}

fn write_draft(draft: &Path, saved: &SavedPlan<&Plan>, key: Option<&PlanKey>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create_new(draft)?);
    saved.write(&mut file, key)?;
    file.flush()
}

fn draft_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}", std::process::id()))
}

fn not_written(path: &Path, error: &io::Error) -> CliError {
    CliError::new(format!("could not write `{}`: {error}", path.display()))
        .remedy("check the mode of the directory and the free space")
}
