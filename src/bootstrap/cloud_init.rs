//! The user data of a new machine for its first boot.

use serde_json::json;

use crate::provider::secret::Secret;
use crate::resource::azure::MachineRole;

/// The user data of a new machine.
///
/// A router joins the tailnet by itself with a single-use key. All other
/// configuration is applied over SSH, where it can be inspected and corrected. The key
/// is stored in a file that only root can read and that is deleted after use, never
/// passed as an argument.
pub fn user_data(hostname: &str, role: MachineRole, auth_key: Option<&Secret>) -> Secret {
    let mut text = String::from("#cloud-config\n");
    text.push_str(&machine_line(hostname, role, auth_key));
    text.push_str(&format!("hostname: {hostname}\npreserve_hostname: false\n"));
    text.push_str("package_update: true\npackage_upgrade: false\n");
    if let Some(auth_key) = auth_key {
        text.push_str(&router_part(hostname, auth_key));
    }
    Secret::new(text)
}

/// One line for machines that read the user data without being cloud-init.
fn machine_line(hostname: &str, role: MachineRole, auth_key: Option<&Secret>) -> String {
    let mut machine = json!({ "hostname": hostname, "role": role });
    if let Some(auth_key) = auth_key {
        machine["auth_key"] = json!(auth_key.expose());
    }
    format!("# stargate-machine: {machine}\n")
}

fn router_part(hostname: &str, auth_key: &Secret) -> String {
    let key = auth_key.expose();
    let repository = "https://pkgs.tailscale.com/stable/ubuntu/jammy";
    format!(
        "write_files:\n\
         - path: /run/stargate/auth-key\n  permissions: '0600'\n  owner: root:root\n  \
         content: {key}\n\
         - path: /etc/sysctl.d/60-stargate.conf\n  permissions: '0644'\n  \
         content: |\n    net.ipv4.ip_forward = 1\n\
         runcmd:\n\
         - [sysctl, --system]\n\
         - [sh, -c, \"curl -fsSL {repository}.noarmor.gpg -o \
         /usr/share/keyrings/tailscale-archive-keyring.gpg\"]\n\
         - [sh, -c, \"curl -fsSL {repository}.tailscale-keyring.list -o \
         /etc/apt/sources.list.d/tailscale.list\"]\n\
         - [sh, -c, 'for attempt in $(seq 60); do apt-get update && break; sleep 5; done']\n\
         - [apt-get, -o, 'DPkg::Lock::Timeout=300', install, -y, tailscale]\n\
         - [tailscale, up, '--auth-key=file:/run/stargate/auth-key', \
         '--hostname={hostname}', --accept-routes]\n\
         - [shred, -u, /run/stargate/auth-key]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_data_of_a_worker_has_no_key() {
        let data = user_data("worker-1", MachineRole::Worker, None);
        assert!(!data.expose().contains("auth_key"));
        assert!(data.expose().starts_with("#cloud-config\n"));
    }

    #[test]
    fn a_router_s_key_is_in_no_argument() {
        let key = Secret::new("tskey-auth-marked");
        let data = user_data("router", MachineRole::Router, Some(&key));
        let commands = data.expose().split("runcmd:").nth(1).unwrap();
        assert!(!commands.contains("tskey-auth-marked"));
    }
}
