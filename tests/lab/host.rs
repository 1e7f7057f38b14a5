//! A host of the lab: a machine whose users log in as on an image of a cloud, and that resolves and
//! trusts the lab's servers.

use std::path::Path;

use super::control_server;
use super::machine::Machine;
use super::trust::Authority;

/// The user of the images.
pub(crate) const USER: &str = "ubuntu";

/// What all hosts have in common.
pub(crate) struct Image<'a> {
    /// The folder for the disks of hosts.
    pub(crate) folder: &'a Path,
    /// The stand-ins.
    pub(crate) tools: &'a Path,
    /// The public key of the user.
    pub(crate) key: &'a Path,
    pub(crate) authority: &'a Authority,
}

impl Image<'_> {
    /// Boots a host without network.
    pub(crate) fn boot(&self, name: &str) -> Machine {
        let machine = Machine::new(name, &self.folder.join(name), self.tools, self.key);
        machine.serve_package_source();
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
            self.authority.certificate
        ));
        machine
    }
}
