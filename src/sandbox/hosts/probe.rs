//! Probes of hosts.

use super::EmulatedHost;
use crate::provider::host::{RouterProbe, TailscaleProbe, WorkerProbe};
use crate::resource::host::WorkerHost;
use crate::sandbox::tailnet::TailnetStore;

use super::CNI_FILE;

impl EmulatedHost {
    /// Probes a router.
    pub fn probe_router(&self, tailnet: &TailnetStore) -> RouterProbe {
        RouterProbe {
            hostname: self.name.clone(),
            addresses: [self.ip].into(),
            ip_forwarding: self.kernel.ip_forwarding,
            reverse_path_filter: self.kernel.reverse_path_filter,
            send_redirects: self.kernel.send_redirects,
            masquerade: self.firewall.masquerade,
            mss_clamp: self.firewall.mss_clamp,
            local_prefixes: self.local_prefixes(),
            kernel_routes: self.our_routes(),
            routes_of_others: self.routes_of_others(),
            foreign_rules: self.foreign_rules(),
            persistent: self.kernel.persistent,
            protected_by: self.protected_by.clone(),
            tailscale: self.tailscale.as_ref().map(|tailscale| TailscaleProbe {
                running: tailscale.device.is_some(),
                address: tailscale.address,
                advertised_routes: tailscale.advertised_routes.clone(),
                accept_routes: tailscale.accept_routes,
                snat_subnet_routes: tailscale.snat_subnet_routes,
                exit_node: tailscale.exit_node.clone(),
                shields_up: tailscale.shields_up,
                primary_routes: tailscale
                    .device
                    .as_deref()
                    .map(|device| tailnet.primary_routes(device))
                    .unwrap_or_default(),
            }),
        }
    }

    /// Probes a worker.
    pub fn probe_worker(&self) -> WorkerProbe {
        let worker = &self.worker;
        let swap = (!self.kernel.swap_off).then_some("/swapfile");
        WorkerProbe {
            hostname: self.name.clone(),
            architecture: "x86_64".to_owned(),
            modules: self.kernel.modules.clone(),
            container_runtime_version: worker.container_runtime.clone(),
            kubelet_version: worker.kubelet,
            staged_packages: worker.staged_packages,
            cni_plugins: worker.cni_plugins,
            cluster_ca_digest: worker.cluster_ca_digest.clone(),
            kubelet_configuration_digest: worker
                .configuration
                .as_ref()
                .map(|configuration| configuration.digest.clone()),
            client_certificate: worker.certificate.is_some(),
            bootstrap_kubeconfig: worker.bootstrap.is_some(),
            boot_id: self.boot_id(),
            routes_persistent: true,
            on_link: self.on_link.into_iter().collect(),
            foreign_rules: self.foreign_rules(),
            host: WorkerHost {
                cni_configuration: worker.cni_files.get(CNI_FILE).copied(),
                cni_chosen: self.cni_chosen().map(|(name, _)| name.clone()),
                ip_forwarding: self.kernel.ip_forwarding,
                wrong_sysctls: self.kernel.wrong_sysctls.clone(),
                swap: swap.map(str::to_owned).into_iter().collect(),
                persistent: self.kernel.persistent,
                container_runtime_active: worker.container_runtime_active,
                kubelet_active: worker.kubelet_active,
                kernel_routes: self.our_routes().into(),
                stamp: worker.stamp.clone(),
            },
        }
    }
}
