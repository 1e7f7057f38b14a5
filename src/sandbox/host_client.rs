//! The door to hosts, onto the sandbox's machines.
//!
//! Each call is one change of the world. It takes no time, unless that is asked
//! for; what it would have taken is added up on the host.

use std::time::Duration;

use async_trait::async_trait;

use super::fault_injector::{Call, Delivery, Disposition};
use super::hosts::Host;
use super::hosts::change::{Outside, change_name};
use super::hosts::step::{step_milliseconds, step_name};
use super::shared::SharedWorld;
use super::world::World;
use crate::provider::host::{
    HostAddress, HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe,
    WorkerProbe, WorkerStep,
};

#[async_trait]
impl HostRead for SharedWorld {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        self.intercepted(target, "probe-router", false, || {
            self.read(|world| Ok(reach(world, target)?.probe_router()))
        })
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        self.intercepted(target, "probe-worker", false, || {
            self.read(|world| Ok(reach(world, target)?.probe_worker()))
        })
    }
}

#[async_trait]
impl HostWrite for SharedWorld {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        let doing = change_name(change);
        self.intercepted(target, doing, true, || {
            self.change(|world, now| {
                let name = reach(world, target)?.name.clone();
                let World { hosts, tailnet, entropy, .. } = world;
                let host = hosts.get_mut(&name).ok_or_else(|| silent(target, "it is gone"))?;
                host.change_router(change, &mut Outside { tailnet, entropy, now })
                    .map_err(|reason| failed(target, doing, reason))
            })
        })
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        let doing = step_name(step);
        if self.hosts_take_time() {
            tokio::time::sleep(Duration::from_millis(step_milliseconds(step))).await;
        }
        self.intercepted(target, doing, true, || {
            self.change(|world, _now| {
                let name = reach(world, target)?.name.clone();
                let host =
                    world.hosts.get_mut(&name).ok_or_else(|| silent(target, "it is gone"))?;
                host.apply_worker_step(step).map_err(|reason| failed(target, doing, reason))
            })
        })
    }
}

impl SharedWorld {
    fn intercepted<T>(
        &self,
        target: &HostTarget,
        doing: &'static str,
        writes: bool,
        work: impl FnOnce() -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let Some(fault_injector) = self.fault_injector() else { return work() };
        let effect = Call::Host { hostname: target.hostname.clone(), doing, writes };
        match fault_injector.before(&effect) {
            Disposition::Pass => {}
            Disposition::Lose => return Err(lost(target)),
            Disposition::Fail(error) => return Err(error),
            Disposition::Refuse { status, .. } | Disposition::Answer { status, .. } => {
                return Err(failed(target, doing, format!("exit status {status}")));
            }
        }
        let result = work();
        match fault_injector.after(&effect) {
            Delivery::Deliver => result,
            Delivery::Lose => Err(lost(target)),
        }
    }
}

/// Finds the host that a target leads to, if it leads to one.
fn reach<'a>(world: &'a World, target: &HostTarget) -> Result<&'a Host, HostError> {
    if let Some(jump) = &target.jump {
        let router = reach(world, jump)?;
        let device = router.tailscale.as_ref().and_then(|tailscale| tailscale.device.as_ref());
        let online = device
            .and_then(|device| world.tailnet.device(device))
            .is_some_and(|device| device.online && device.authorized);
        if !online {
            let reason = format!("its router {} is not online in the tailnet", router.name);
            return Err(silent(target, &reason));
        }
    }
    let wanted = world.hosts.get(&target.hostname);
    if let Some(host) = wanted.filter(|host| answers(host, &target.address)) {
        return Ok(host);
    }
    match world.hosts.values().find(|host| answers(host, &target.address)) {
        Some(other) => {
            let reason = format!("the host there calls itself {}", other.name);
            Err(failed(target, "connect", reason))
        }
        None => Err(silent(target, "connection timed out")),
    }
}

fn answers(host: &Host, address: &HostAddress) -> bool {
    let in_tailnet = host.tailscale.as_ref().and_then(|tailscale| tailscale.address);
    let known = match address {
        HostAddress::Ip(address) => {
            [Some(host.ip), host.public_ip, in_tailnet].contains(&Some(*address))
        }
        HostAddress::Name(_) => false,
    };
    let outside = host.outside.as_deref().map(HostAddress::of_text);
    host.powered_on && (known || outside.as_ref() == Some(address))
}

fn silent(target: &HostTarget, reason: &str) -> HostError {
    HostError::Unreachable {
        hostname: target.hostname.clone(),
        address: target.address.clone(),
        reason: reason.to_owned(),
    }
}

fn lost(target: &HostTarget) -> HostError {
    let reason = "connection reset by peer".to_owned();
    HostError::Lost { hostname: target.hostname.clone(), reason }
}

fn failed(target: &HostTarget, doing: &str, reason: String) -> HostError {
    HostError::failed(&target.hostname, doing, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fault_injector::FaultInjector;
    use crate::sandbox::test_sandbox::whole;
    use crate::topology::model::HostKeyPolicy;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    fn target(hostname: &str, address: [u8; 4], jump: Option<HostTarget>) -> HostTarget {
        HostTarget {
            hostname: hostname.to_owned(),
            address: Ipv4Addr::from(address).into(),
            port: 22,
            user: "stargate".to_owned(),
            jump: jump.map(Box::new),
            host_key: None,
            host_keys: HostKeyPolicy::AcceptNew,
        }
    }

    #[tokio::test]
    async fn a_worker_is_reached_only_through_a_router_that_is_online() {
        let world = SharedWorld::new(whole());
        let router = target("dc1-router", [10, 1, 1, 5], None);
        let worker = target("dc1-worker-1", [10, 1, 2, 10], Some(router.clone()));
        assert!(world.probe_worker(&worker).await.unwrap().host.kubelet_active);
        let other = target("somebody", [10, 1, 2, 10], None);
        assert!(matches!(world.probe_worker(&other).await, Err(HostError::Failed { .. })));
        world.change_router(&router, &RouterChange::Remove).await.unwrap();
        let silent = world.probe_worker(&worker).await;
        assert!(matches!(silent, Err(HostError::Unreachable { .. })), "{silent:?}");
        assert!(world.probe_router(&router).await.unwrap().tailscale.is_none());
    }

    #[tokio::test]
    async fn a_router_is_reached_under_the_name_that_its_site_gives_it() {
        let world = SharedWorld::new(whole());
        world.change(|world, _| world.seed_ssh_address("dc1-router", "dc1.example.com"));
        let named = |name: &str| HostTarget {
            address: HostAddress::of_text(name),
            ..target("dc1-router", [10, 1, 1, 5], None)
        };
        assert!(world.probe_router(&named("dc1.example.com")).await.is_ok());
        assert!(world.probe_router(&named("10.1.1.5")).await.is_ok());
        let silent = world.probe_router(&named("dc2.example.com")).await.unwrap_err();
        assert!(silent.to_string().contains("at dc2.example.com"), "{silent}");
    }

    #[derive(Debug)]
    struct LoseAnswers;

    impl FaultInjector for LoseAnswers {
        fn before(&self, effect: &Call) -> Disposition {
            match effect.writes() {
                true => Disposition::Pass,
                false => Disposition::Refuse { status: 503, retry_after: Some(1) },
            }
        }

        fn after(&self, _effect: &Call) -> Delivery {
            Delivery::Lose
        }
    }

    #[tokio::test]
    async fn an_answer_can_be_lost_after_the_effect() {
        let world = SharedWorld::new(whole());
        let worker = target("dc1-worker-1", [10, 1, 2, 10], None);
        world.set_interceptor(Some(Arc::new(LoseAnswers)));
        let step = WorkerStep::Stamp { digest: "new".to_owned() };
        assert!(world.apply_worker_step(&worker, &step).await.is_err());
        assert!(world.probe_worker(&worker).await.is_err(), "refused");
        world.set_interceptor(None);
        let probe = world.probe_worker(&worker).await.unwrap();
        assert_eq!(probe.host.stamp.as_deref(), Some("new"));
    }
}
