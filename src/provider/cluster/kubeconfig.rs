//! The parts of a kubeconfig.

use kube::config::{AuthInfo, Kubeconfig};

use super::error::{About, ClusterError};

pub(super) fn parse(text: &str) -> Result<Kubeconfig, ClusterError> {
    Kubeconfig::from_yaml(text).map_err(|error| about().malformed(error.to_string()))
}

/// The user of the current context.
pub(super) fn current_user(config: &mut Kubeconfig) -> Option<&mut AuthInfo> {
    let current = config.current_context.as_deref()?;
    let named = config.contexts.iter().find(|context| context.name == current)?;
    let name = named.context.as_ref()?.user.clone()?;
    config.auth_infos.iter_mut().find(|user| user.name == name)?.auth_info.as_mut()
}

pub(super) fn about() -> About {
    About::new("read", "kubeconfig", "for the cluster")
}
