//! The embedded world from its folder, with what a topology expects to be there.

use std::path::Path;

use crate::diagnostics::Code;
use crate::sandbox::SharedSandbox;
use crate::sandbox::folder::{Folder, FolderError, Saver};
use crate::sandbox::serve::{ServeOptions, Server};
use crate::topology::model::Topology;

use super::error::CliError;

/// Opens the world; a topology's tag has an owner in it, and its machines that
/// were there before us are there.
pub(crate) fn open(
    folder: &Path,
    topology: Option<&Topology>,
) -> Result<(SharedSandbox, Saver), CliError> {
    let folder = Folder::open(folder).map_err(|error| of_folder(&error))?;
    let mut sandbox = folder.load().map_err(|error| of_folder(&error))?;
    if let Some(topology) = topology {
        sandbox.seed(topology);
    }
    let sandbox = SharedSandbox::new(sandbox);
    let saver = folder.save_in_background(sandbox.clone());
    Ok((sandbox, saver))
}

/// Opens the world's faces on loopback.
pub(crate) async fn serve(
    sandbox: &SharedSandbox,
    tls: bool,
    folder: &Path,
) -> Result<Server, CliError> {
    let certificate_path = tls.then(|| folder.join("certificate.pem"));
    let options = ServeOptions { tls, certificate_path, ports: [0; 3] };
    let started = Server::start(sandbox.clone(), options).await;
    started.map_err(|error| {
        CliError::new(format!("the sandbox cannot be served: {error}"))
            .hint("it listens on 127.0.0.1 only; check that loopback is up")
    })
}

/// A folder's refusal as an error of the command line.
pub(crate) fn of_folder(error: &FolderError) -> CliError {
    let (code, hint) = match error {
        FolderError::Damaged { .. } => {
            (Code::SandboxDamaged, "`stargate sandbox reset` begins a new world in that folder")
        }
        FolderError::InUse { .. } => {
            (Code::SandboxInUse, "end the other process, or use another folder: `--sandbox=DIR`")
        }
        FolderError::Io { .. } => (Code::Unreadable, "check the folder's owner and its free space"),
    };
    CliError::coded(code, error.to_string()).hint(hint)
}
