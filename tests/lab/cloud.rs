//! Carries the sandbox's Azure into the kernel, as it changes: virtual networks become fabrics,
//! virtual machines boot as hosts, and AKS's nodes get namespaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::Ipv4Net;
use stargate::sandbox::{SandboxState, SharedSandbox};

use super::azure::{self, AksNode, Network, VirtualMachine};
use super::fabric::Fabric;
use super::host::Image;
use super::machine::{Machine, ip};
use super::packets::End;
use super::user_data;

/// How often the driver looks for changes.
const PERIOD: Duration = Duration::from_millis(50);

/// The hosts and networks that run.
#[derive(Default)]
pub(crate) struct Running {
    fabrics: BTreeMap<String, Fabric>,
    next_fabric: u8,
    /// By the unique ids of the virtual machines.
    machines: BTreeMap<String, (VirtualMachine, Arc<Machine>)>,
    aks_nodes: Vec<AksNode>,
    /// The ends that stand for pods, by the name of the node.
    pub(crate) pods: BTreeMap<String, End>,
}

/// Ends the test, which would wait for the driver in vain.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(101);
        }
    }
}

/// The driver, which ends with this value.
pub(crate) struct Cloud {
    running: Arc<Mutex<Running>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Cloud {
    /// Follows a sandbox from now on.
    pub(crate) fn follow(sandbox: SharedSandbox, image: Image) -> Self {
        let running = Arc::<Mutex<Running>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (shared, stopped) = (Arc::clone(&running), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let _end = EndOnPanic;
            let mut changes = sandbox.changes();
            changes.mark_changed();
            while !stopped.load(Ordering::SeqCst) {
                if !changes.has_changed().unwrap() {
                    std::thread::sleep(PERIOD);
                    continue;
                }
                changes.mark_unchanged();
                let state = sandbox.read(Clone::clone);
                lock(&shared).reconcile(&state, &image);
            }
        });
        Self { running, stop, thread: Some(thread) }
    }

    /// The hosts and networks that run now.
    pub(crate) fn running(&self) -> MutexGuard<'_, Running> {
        assert!(!self.thread.as_ref().is_some_and(JoinHandle::is_finished), "the driver failed");
        lock(&self.running)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Running {
    /// The hosts by name.
    pub(crate) fn machine(&self, name: &str) -> Option<Arc<Machine>> {
        let mut all = self.machines.values();
        all.find(|(machine, _)| machine.name == name).map(|(_, machine)| Arc::clone(machine))
    }

    /// The number of hosts, of AKS's nodes and of virtual networks.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (self.machines.len(), self.aks_nodes.len(), self.fabrics.len())
    }

    fn reconcile(&mut self, state: &SandboxState, image: &Image) {
        let networks = azure::networks(state);
        for network in &networks {
            if !self.fabrics.contains_key(&network.id) {
                self.next_fabric += 1;
                self.fabrics.insert(network.id.clone(), Fabric::new(self.next_fabric));
            }
        }
        let machines = azure::machines(state);
        let instances: BTreeSet<&String> = machines.iter().map(|it| &it.instance).collect();
        let Self { machines: booted, pods, .. } = self;
        booted.retain(|instance, (machine, _)| {
            let stays = instances.contains(instance);
            if !stays && pods.remove(&machine.name).is_some() {
                ip(&format!("netns del {}-pod", machine.name));
            }
            stays
        });
        let nodes = azure::aks_nodes(state);
        self.remove_nodes(&nodes);
        let mut booted = Vec::new();
        for machine in machines {
            if self.machines.contains_key(&machine.instance) {
                continue;
            }
            if let Some((fabric, subnet)) = self.place(&networks, machine.address) {
                let host = Arc::new(image.boot(&machine.name));
                image.authorize(&host, &machine.public_keys);
                fabric.plug_in(&machine.name, machine.address, subnet);
                booted.push(machine.instance.clone());
                self.machines.insert(machine.instance.clone(), (machine, host));
            }
        }
        for node in nodes {
            if !self.aks_nodes.contains(&node)
                && let Some((fabric, subnet)) = self.place(&networks, node.address)
            {
                ip(&format!("netns add {0}\n-n {0} link set lo up", node.name));
                fabric.plug_in(&node.name, node.address, subnet);
                let pod = add_pod(&node.name, node.pods);
                self.pods.insert(node.name.clone(), pod);
                self.aks_nodes.push(node);
            }
        }
        self.apply(&networks);
        // First boots take their time, and need the network.
        for instance in booted {
            let (machine, host) = self.machines[&instance].clone();
            std::thread::spawn(move || {
                let _end = EndOnPanic;
                user_data::run(&host, &machine.user_data);
            });
        }
    }

    fn remove_nodes(&mut self, present: &[AksNode]) {
        self.aks_nodes.retain(|node| {
            let stays = present.contains(node);
            if !stays {
                self.pods.remove(&node.name);
                ip(&format!("netns del {0}-pod\nnetns del {0}", node.name));
            }
            stays
        });
    }

    /// The fabric and the subnet of an address.
    fn place(&self, networks: &[Network], address: Ipv4Addr) -> Option<(&Fabric, Ipv4Net)> {
        let network = networks.iter().find(|it| it.interfaces.contains_key(&address))?;
        Some((&self.fabrics[&network.id], network.interfaces[&address].subnet))
    }

    fn apply(&mut self, networks: &[Network]) {
        let machines = self.machines.values().map(|(machine, _)| machine.address);
        let present: Vec<Ipv4Addr> =
            machines.chain(self.aks_nodes.iter().map(|node| node.address)).collect();
        for network in networks {
            self.fabrics.get_mut(&network.id).unwrap().apply(network, &present);
        }
        self.fabrics.retain(|id, fabric| {
            let stays = networks.iter().any(|network| network.id == *id);
            if !stays {
                ip(&format!("netns del {}", fabric.namespace));
            }
            stays
        });
    }
}

/// Adds a namespace with a pod's address behind the namespace of a node.
pub(crate) fn add_pod(node: &str, range: Ipv4Net) -> End {
    let address = range.hosts().nth(9).unwrap();
    let pod = format!("{node}-pod");
    ip(&format!(
        "netns add {pod}
         -n {pod} link set lo up
         -n {pod} link add eth0 type veth peer name pod0 netns {node}
         -n {pod} address add {address}/32 dev eth0
         -n {pod} link set eth0 up
         -n {pod} route add 169.254.1.1 dev eth0
         -n {pod} route add default via 169.254.1.1
         -n {node} address add 169.254.1.1/32 dev pod0
         -n {node} link set pod0 up
         -n {node} route add {address}/32 dev pod0"
    ));
    super::fabric::feed(
        &["nsenter", &format!("--net=/run/netns/{node}"), "sh", "-eu"],
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
    );
    End::named(&pod, &address.to_string())
}
