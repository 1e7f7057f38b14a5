//! The programs that `tests/lab/run` builds.

use std::path::{Path, PathBuf};

/// The folder with the programs.
const VARIABLE: &str = "STARGATE_LAB_PROGRAMS";

/// The programs that were built for the lab.
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Finds them, or says why the lab cannot run.
    pub(crate) fn find() -> Result<Self, String> {
        let Some(folder) = std::env::var_os(VARIABLE) else {
            return Err(format!("{VARIABLE} names no folder (see tests/lab/run)"));
        };
        Ok(Self { folder: folder.into() })
    }

    /// The path of a program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.join(name);
        assert!(path.exists(), "{} does not exist", path.display());
        path
    }

    /// The stand-ins of all hosts, in a folder that [`super::machine::Machine`] takes.
    pub(crate) fn stand_ins(&self, folder: &Path) -> PathBuf {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let tools = folder.join("tools");
        let bin = tools.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let shared = ["apt-mark", "curl", "gpg", "journalctl", "modprobe", "swapoff", "sysctl"];
        let shared = shared.map(|name| tests.join("ssh/tools/bin").join(name));
        let own = std::fs::read_dir(tests.join("lab/tools/bin")).unwrap();
        for file in shared.into_iter().chain(own.map(|entry| entry.unwrap().path())) {
            std::fs::copy(&file, bin.join(file.file_name().unwrap())).unwrap();
        }
        let packages = tools.join("packages");
        std::fs::create_dir(&packages).unwrap();
        for file in ["lab/tools/packages/containerd", "lab/tools/packages/kubelet"] {
            let file = tests.join(file);
            std::fs::copy(&file, packages.join(file.file_name().unwrap())).unwrap();
        }
        std::fs::copy(tests.join("ssh/tools/packages/runc"), packages.join("runc")).unwrap();
        self.package(&tools, "tailscale", &["tailscale", "tailscaled"], TAILSCALED);
        tools
    }

    /// A package that the stand-in of apt-get installs, with its service.
    fn package(&self, tools: &Path, name: &str, programs: &[&str], unit: (&str, &str)) {
        let bin = tools.join("packages").join(name).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for program in programs {
            // The machines do not see the cache, which may be in the home of root.
            std::fs::copy(self.path(program), bin.join(program)).unwrap();
        }
        std::fs::write(bin.parent().unwrap().join(unit.0), unit.1).unwrap();
    }
}

/// The unit of Tailscale's package, apart from what it says to systemd.
const TAILSCALED: (&str, &str) = (
    "tailscaled.service",
    "[Service]
ExecStart=/usr/bin/env TS_DEBUG_FIREWALL_MODE=nftables /usr/bin/tailscaled \
     --state=/var/lib/tailscale/tailscaled.state --socket=/run/tailscale/tailscaled.sock \
     --port=41641 --no-logs-no-support
",
);
