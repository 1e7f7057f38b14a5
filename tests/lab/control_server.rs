//! The control server of the tailnet, in the namespace of this process.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use stargate::provider::credentials::TailnetCredentials;
use stargate::provider::http::RequestCount;
use stargate::provider::limits::Limits;
use stargate::provider::reqwest_transport::ReqwestTransport;
use stargate::provider::secret::Secret;
use stargate::provider::tailnet::TailnetClient;

use super::programs::Programs;
use super::trust::Authority;

/// Where it listens.
pub(crate) const ADDRESS: &str = "192.0.2.1";
/// The names of Tailscale's own service, which the hosts of the lab resolve to this server.
pub(crate) const NAMES: [&str; 2] = ["controlplane.tailscale.com", "api.tailscale.com"];

/// The running control server.
pub(crate) struct ControlServer {
    process: Child,
    authority: String,
}

impl ControlServer {
    /// Starts it with an owner for the tag of a topology.
    pub(crate) fn start(
        folder: &Path,
        programs: &Programs,
        authority: &Authority,
        tag: &str,
    ) -> Self {
        let files = authority.issue(&NAMES, ADDRESS);
        let mut process = Command::new(programs.path("control"))
            .args(["-address", ADDRESS, "-name", NAMES[0], "-tag", tag])
            .arg("-certificate")
            .arg(&files.certificate)
            .arg("-key")
            .arg(&files.key)
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("control.log")).unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "the control server does not start");
        Self { process, authority: authority.certificate.clone() }
    }

    /// Stargate's client of its API.
    pub(crate) fn client(&self) -> TailnetClient {
        let transport = ReqwestTransport::new(Some(&self.authority)).unwrap();
        TailnetClient::new(
            Arc::new(transport),
            &format!("https://{ADDRESS}"),
            "-",
            TailnetCredentials::ApiKey(Secret::new("lab")),
            Limits::unlimited(),
            RequestCount::default(),
        )
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
