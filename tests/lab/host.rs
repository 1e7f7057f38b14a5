//! A host of the lab: a machine whose users log in as on an image of a cloud, and that resolves and
//! trusts the lab's servers.

use std::path::PathBuf;

use super::control_server;
use super::machine::Machine;

/// The user of the images.
pub(crate) const USER: &str = "ubuntu";

/// The version of the kubelet that is installed on every host.
pub(crate) const KUBELET: &str = "1.33.5";

/// The common parts of all hosts.
pub(crate) struct Image {
    /// The folder for the disks of hosts.
    pub(crate) folder: PathBuf,
    /// The stand-ins.
    pub(crate) tools: PathBuf,
    /// The public key of the user, unless a host gets others.
    pub(crate) key: PathBuf,
    /// The certificate that all hosts trust.
    pub(crate) authority: String,
}

impl Image {
    /// Boots a host without network.
    pub(crate) fn boot(&self, name: &str) -> Machine {
        let machine = Machine::new(name, &self.folder.join(name), &self.tools, &self.key);
        machine.serve_package_source();
        std::fs::write(machine.stub_file("kubelet-version"), KUBELET).unwrap();
        machine.sh(
            "cd /run/stand-ins; cp packages/containerd packages/kubelet packages/runc bin/
            mkdir -p units; printf '[Service]\\nExecStart=containerd\\n' >units/containerd.service",
        );
        let names = control_server::NAMES.join(" ");
        let address = control_server::ADDRESS;
        machine.sh(&format!(
            "printf '127.0.0.1 localhost\\n127.0.1.1 %s\\n%s\\n' {name} '{address} {names}' >/etc/hosts
             echo '{name}' >/etc/hostname
             echo '{USER}:*:3999:3999::/home/{USER}:/bin/bash' >>/etc/passwd
             echo '{USER}:x:3999:' >>/etc/group
             mkdir -p /home/{USER} /etc/sudoers.d
             chown 3999:3999 /home/{USER}
             echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}
             chmod 0440 /etc/sudoers.d/{USER}"
        ));
        machine.sh(&format!(
            "cat >>/etc/ssl/certs/ca-certificates.crt <<'END'\n{}END",
            self.authority
        ));
        machine
    }

    /// Sets the public keys of the user.
    pub(crate) fn authorize(&self, machine: &Machine, public_keys: &[String]) {
        machine.sh(&format!("cat >/etc/ssh/lab_keys <<'END'\n{}\nEND", public_keys.join("\n")));
    }
}
