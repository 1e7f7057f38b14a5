//! The host client of the sandbox.
//!
//! Each call is one change of the state. A call takes no time, unless `simulate_host_delays` was
//! called. The time that it would take on a real host is added up on the emulated one.

use std::time::Duration;

use async_trait::async_trait;

use super::fault_injector::{Call, Delivery, Disposition};
use super::hosts::change::{HostEnvironment, change_name};
use super::hosts::step::step_name;
use super::hosts::{EmulatedHost, HostAccess};
use super::shared::SharedSandbox;
use super::state::SandboxState;
use crate::provider::host::{
    HostAddress, HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe,
    WorkerProbe, WorkerStep,
};
use crate::provider::host_error::SUDO_REMEDY;

#[async_trait]
impl HostRead for SharedSandbox {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        self.intercepted(target, "probe-router", false, || {
            let probe = self.try_read(|sandbox| {
                Ok(reachable_host(sandbox, target)?.1.probe_router(&sandbox.tailnet))
            });
            probe.map_err(|reason| unreachable(target, &reason))?
        })
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        self.intercepted(target, "probe-worker", false, || {
            let probe =
                self.try_read(|sandbox| Ok(reachable_host(sandbox, target)?.1.probe_worker()));
            probe.map_err(|reason| unreachable(target, &reason))?
        })
    }
}

#[async_trait]
impl HostWrite for SharedSandbox {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        let activity = change_name(change);
        self.intercepted(target, activity, true, || {
            let changed = self.try_change(|sandbox, now| {
                let label = reachable_host(sandbox, target)?.0.to_owned();
                let SandboxState { hosts, tailnet, entropy, .. } = sandbox;
                let host = hosts
                    .get_labelled_mut(&label)
                    .ok_or_else(|| unreachable(target, "the host was deleted"))?;
                host.change_router(change, &mut HostEnvironment { tailnet, entropy, now })
                    .map_err(|reason| command_failed(target, activity, reason))
            });
            changed.map_err(|reason| unreachable(target, &reason))?
        })
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        let activity = step_name(step);
        if self.simulates_host_delays() {
            let takes = |(_, host): (&str, &EmulatedHost)| host.step_milliseconds(step);
            let takes = self.read(|sandbox| reachable_host(sandbox, target).map(takes));
            tokio::time::sleep(Duration::from_millis(takes.unwrap_or_default())).await;
        }
        self.intercepted(target, activity, true, || {
            let changed = self.try_change(|sandbox, _now| {
                let label = reachable_host(sandbox, target)?.0.to_owned();
                let host = sandbox
                    .hosts
                    .get_labelled_mut(&label)
                    .ok_or_else(|| unreachable(target, "the host was deleted"))?;
                host.apply_worker_step(step)
                    .map_err(|reason| command_failed(target, activity, reason))
            });
            changed.map_err(|reason| unreachable(target, &reason))?
        })
    }
}

impl SharedSandbox {
    fn intercepted<T>(
        &self,
        target: &HostTarget,
        activity: &'static str,
        writes: bool,
        work: impl FnOnce() -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let Some(fault_injector) = self.fault_injector() else { return work() };
        let effect = Call::Host { hostname: target.hostname.clone(), activity, writes };
        match fault_injector.before(&effect) {
            Disposition::Pass => {}
            Disposition::Lose => return Err(connection_reset(target)),
            Disposition::Fail(error) => return Err(error),
            Disposition::Refuse { status, .. } | Disposition::Respond { status, .. } => {
                return Err(command_failed(target, activity, format!("exit status {status}")));
            }
        }
        let result = work();
        match fault_injector.after(&effect) {
            Delivery::Deliver => result,
            Delivery::Lose | Delivery::Refuse(_) => Err(connection_reset(target)),
        }
    }
}

/// The host that a target addresses, with its label, if it is reachable.
fn reachable_host<'a>(
    sandbox: &'a SandboxState,
    target: &HostTarget,
) -> Result<(&'a str, &'a EmulatedHost), HostError> {
    if let Some(jump) = &target.jump {
        let (_, router) = reachable_host(sandbox, jump)?;
        let device = router.tailscale.as_ref().and_then(|tailscale| tailscale.device.as_ref());
        let online = device
            .and_then(|device| sandbox.tailnet.device(device))
            .is_some_and(|device| device.online && device.authorized);
        if !online {
            let reason = format!("its router {} is not online in the tailnet", router.name);
            return Err(unreachable(target, &reason));
        }
    }
    let mut expected = sandbox.hosts.named(&target.hostname);
    if let Some(found) = expected.find(|(_, host)| has_address(host, &target.address)) {
        return permitted(found.1.access, target).map(|()| found);
    }
    match sandbox.hosts.values().find(|host| has_address(host, &target.address)) {
        Some(other) => {
            let (hostname, address) = (target.hostname.clone(), target.address.clone());
            Err(HostError::WrongHost { hostname, address, found: other.name.clone() })
        }
        None => Err(unreachable(target, "connection timed out")),
    }
}

/// Logs in and becomes root.
fn permitted(access: HostAccess, target: &HostTarget) -> Result<(), HostError> {
    let hostname = target.hostname.clone();
    match access {
        HostAccess::Granted => Ok(()),
        HostAccess::LoginRefused => {
            let tried = "the key of the sandbox: refused".to_owned();
            Err(HostError::LoginRefused { hostname, user: target.user.clone(), tried })
        }
        HostAccess::SudoPassword => Err(HostError::Failed {
            hostname,
            activity: "sudo".to_owned(),
            reason: "exit status 1".to_owned(),
            output: "sudo: a password is required".to_owned(),
            remedy: Some(SUDO_REMEDY.to_owned()),
        }),
    }
}

fn has_address(host: &EmulatedHost, address: &HostAddress) -> bool {
    let in_tailnet = host.tailscale.as_ref().and_then(|tailscale| tailscale.address);
    let known = match address {
        HostAddress::Ip(address) => {
            [Some(host.ip), host.public_ip, in_tailnet].contains(&Some(*address))
        }
        HostAddress::Name(_) => false,
    };
    let outside = host.public_address.as_deref().map(HostAddress::of_text);
    host.powered_on && (known || outside.as_ref() == Some(address))
}

fn unreachable(target: &HostTarget, reason: &str) -> HostError {
    HostError::Unreachable {
        hostname: target.hostname.clone(),
        address: target.address.clone(),
        reason: reason.to_owned(),
    }
}

fn connection_reset(target: &HostTarget) -> HostError {
    let reason = "connection reset by peer".to_owned();
    HostError::Lost { hostname: target.hostname.clone(), reason }
}

fn command_failed(target: &HostTarget, activity: &str, reason: String) -> HostError {
    HostError::failed(&target.hostname, activity, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::fault_injector::FaultInjector;
    use crate::sandbox::test_sandbox::complete_sandbox;
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
    async fn a_worker_is_reachable_only_through_an_online_router() {
        let sandbox = SharedSandbox::new(complete_sandbox());
        let router = target("dc1-router", [10, 1, 1, 5], None);
        let worker = target("dc1-worker-1", [10, 1, 2, 10], Some(router.clone()));
        assert!(sandbox.probe_worker(&worker).await.unwrap().host.kubelet_active);
        let other = target("another", [10, 1, 2, 10], None);
        assert!(matches!(sandbox.probe_worker(&other).await, Err(HostError::WrongHost { .. })));
        sandbox.change_router(&router, &RouterChange::Remove).await.unwrap();
        let unreachable = sandbox.probe_worker(&worker).await;
        assert!(matches!(unreachable, Err(HostError::Unreachable { .. })), "{unreachable:?}");
        assert!(sandbox.probe_router(&router).await.unwrap().tailscale.is_none());
    }

    #[tokio::test]
    async fn a_router_is_reachable_under_its_ssh_address() {
        let sandbox = SharedSandbox::new(complete_sandbox());
        sandbox.change(|sandbox, _| sandbox.seed_ssh_address("dc1-router", "dc1.example.com"));
        let named = |name: &str| HostTarget {
            address: HostAddress::of_text(name),
            ..target("dc1-router", [10, 1, 1, 5], None)
        };
        assert!(sandbox.probe_router(&named("dc1.example.com")).await.is_ok());
        assert!(sandbox.probe_router(&named("10.1.1.5")).await.is_ok());
        let unreachable = sandbox.probe_router(&named("dc2.example.com")).await.unwrap_err();
        assert!(unreachable.to_string().contains("at dc2.example.com"), "{unreachable}");
    }

    #[derive(Debug)]
    struct LoseResponses;

    impl FaultInjector for LoseResponses {
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
    async fn a_response_can_be_lost_after_the_effect() {
        let sandbox = SharedSandbox::new(complete_sandbox());
        let worker = target("dc1-worker-1", [10, 1, 2, 10], None);
        sandbox.set_fault_injector(Some(Arc::new(LoseResponses)));
        let step = WorkerStep::Stamp { digest: "new".to_owned() };
        assert!(sandbox.apply_worker_step(&worker, &step).await.is_err());
        assert!(sandbox.probe_worker(&worker).await.is_err(), "refused");
        sandbox.set_fault_injector(None);
        let probe = sandbox.probe_worker(&worker).await.unwrap();
        assert_eq!(probe.host.stamp.as_deref(), Some("new"));
    }
}
