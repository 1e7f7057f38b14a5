//! Opens and serves the state of the sandbox.

use std::path::Path;

use crate::diagnostics::Code;
use crate::sandbox::SharedWorld;
use crate::sandbox::folder::{Folder, FolderError, Saver};
use crate::sandbox::serve::{ServeOptions, Server};
use crate::topology::model::Topology;

use super::error::CliError;

/// Opens the sandbox. With a topology, the sandbox gets what the topology presumes:
/// an owner for its device tag and its existing machines.
pub(crate) fn open(
    folder: &Path,
    topology: Option<&Topology>,
) -> Result<(SharedWorld, Saver), CliError> {
    let folder = Folder::open(folder).map_err(|error| of_folder(&error))?;
    let mut world = folder.load().map_err(|error| of_folder(&error))?;
    if let Some(topology) = topology {
        world.seed(topology);
    }
    let world = SharedWorld::new(world);
    let saver = folder.keep(world.clone());
    Ok((world, saver))
}

/// Serves the emulated APIs on loopback.
pub(crate) async fn serve(
    world: &SharedWorld,
    tls: bool,
    folder: &Path,
) -> Result<Server, CliError> {
    let certificate_path = tls.then(|| folder.join("certificate.pem"));
    let options = ServeOptions { tls, certificate_path, ports: [0; 3] };
    let started = Server::start(world.clone(), options).await;
    started.map_err(|error| {
        CliError::new(format!("could not serve the sandbox: {error}"))
            .hint("the sandbox listens on 127.0.0.1; check that the loopback interface is up")
    })
}

/// Converts an error of the sandbox folder.
pub(crate) fn of_folder(error: &FolderError) -> CliError {
    let (code, hint) = match error {
        FolderError::Damaged { .. } => {
            (Code::SandboxDamaged, "`stargate sandbox reset` deletes the state in this folder")
        }
        FolderError::InUse { .. } => (
            Code::SandboxInUse,
            "stop the other process, or use another folder with `--sandbox=DIR`",
        ),
        FolderError::Io { .. } => {
            (Code::Unreadable, "check the owner of the folder and the free space")
        }
    };
    CliError::coded(code, error.to_string()).hint(hint)
}
