//! Watches of the cluster's objects.
//!
//! [`kube::runtime::watcher`] lists again after 410, connects again after a disconnect
//! with increasing delays, and takes a watch for dead that its server does not end in
//! time.

use futures::stream::BoxStream;
use futures::{StreamExt as _, future};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::watcher::{self, Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use serde_json::Value;

use super::error::{About, ClusterCause, ClusterError};
use super::request::apis;
use super::{ClusterClient, KUBE_SYSTEM};
use crate::resource::kubernetes::{KubernetesApi, ManifestKind};

/// The time that a server keeps a watch open, in seconds. A watch that lasts five seconds
/// longer is dead, even if its connection is open.
const WATCH_SECONDS: u32 = 60;

/// A kind of objects that can be watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchedKind {
    /// Nodes, AKS's and the workers'.
    Node,
    /// The pod CIDRs that Azure gives AKS nodes.
    NodeNetworkConfig,
    /// Cilium's records of nodes.
    CiliumNode,
    /// stargate's records of workers.
    Server,
    /// Provisioning profiles.
    ProvisioningProfile,
    /// Requests for operations on workers, and records of them.
    Operation,
    /// Topologies, on which changes are approved.
    Topology,
}

impl WatchedKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Node,
        Self::NodeNetworkConfig,
        Self::CiliumNode,
        Self::Server,
        Self::ProvisioningProfile,
        Self::Operation,
        Self::Topology,
    ];

    fn api(self) -> (KubernetesApi, Option<&'static str>) {
        match self {
            Self::Node => (apis::NODE, None),
            Self::NodeNetworkConfig => (apis::NODE_NETWORK_CONFIG, Some(KUBE_SYSTEM)),
            Self::CiliumNode => (apis::CILIUM_NODE, None),
            Self::Server => (ManifestKind::Server.api(), None),
            Self::ProvisioningProfile => (ManifestKind::ProvisioningProfile.api(), None),
            Self::Operation => (apis::OPERATION, None),
            Self::Topology => (apis::TOPOLOGY, None),
        }
    }
}

/// The events of a watch.
#[derive(Debug, Clone, PartialEq)]
pub enum WatchedChange {
    /// A list of all objects begins.
    ListBegins,
    /// The list has this object.
    Listed(Value),
    /// The list has ended: objects that were not in it are deleted.
    ListEnds,
    /// An object was created or changed.
    Changed(Value),
    /// An object was deleted; its last state.
    Deleted(Value),
}

/// Changes for as long as they are read. An error does not end the stream.
pub type WatchStream = BoxStream<'static, Result<WatchedChange, ClusterError>>;

impl ClusterClient {
    /// Watches every object of a kind, regardless of its owner.
    pub fn watch(&self, kind: WatchedKind) -> WatchStream {
        let (api, namespace) = kind.api();
        let resource = resource(&api);
        let objects: kube::Api<DynamicObject> = match namespace {
            Some(namespace) => {
                kube::Api::namespaced_with(self.client.clone(), namespace, &resource)
            }
            None => kube::Api::all_with(self.client.clone(), &resource),
        };
        let about = About::new("watch", api.kind, "in the cluster");
        let stream = watch(objects, Config::default().timeout(WATCH_SECONDS)).default_backoff();
        stream.filter_map(move |event| future::ready(change(&about, event))).boxed()
    }
}

fn resource(api: &KubernetesApi) -> ApiResource {
    let api_version = match api.group {
        "" => api.version.to_owned(),
        group => format!("{group}/{}", api.version),
    };
    ApiResource {
        group: api.group.to_owned(),
        version: api.version.to_owned(),
        api_version,
        kind: api.kind.to_owned(),
        plural: api.plural.to_owned(),
    }
}

fn change(
    about: &About,
    event: watcher::Result<Event<DynamicObject>>,
) -> Option<Result<WatchedChange, ClusterError>> {
    let event = match event {
        Ok(event) => event,
        Err(error) => return failure(about, error).map(Err),
    };
    let read = |object: &DynamicObject| {
        serde_json::to_value(object).map_err(|error| about.malformed(error.to_string()))
    };
    Some(match &event {
        Event::Init => Ok(WatchedChange::ListBegins),
        Event::InitApply(object) => read(object).map(WatchedChange::Listed),
        Event::InitDone => Ok(WatchedChange::ListEnds),
        Event::Apply(object) => read(object).map(WatchedChange::Changed),
        Event::Delete(object) => read(object).map(WatchedChange::Deleted),
    })
}

/// The error of a watch; `None` if its version is too old, which is answered by a list.
fn failure(about: &About, error: watcher::Error) -> Option<ClusterError> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(about.failed(error)),
        watcher::Error::WatchError(status) if status.code == 410 => None,
        watcher::Error::WatchError(status) => {
            Some(about.error(ClusterCause::Unavailable, status.message.clone()))
        }
        watcher::Error::NoResourceVersion => {
            Some(about.malformed("the list has no resource version"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::cluster::PERMISSIONS;

    /// A watch continues a list, so it needs both verbs; nothing else needs `watch`.
    #[test]
    fn permissions_to_watch_equal_the_watches() {
        let watchable = PERMISSIONS.iter().filter(|it| it.verbs.contains(&"watch"));
        let mut allowed: Vec<_> = watchable
            .inspect(|it| assert!(it.verbs.contains(&"list"), "{it:?}"))
            .map(|it| (it.group, it.resource, it.namespace))
            .collect();
        let mut watched: Vec<_> = WatchedKind::ALL
            .into_iter()
            .map(|kind| {
                let (api, namespace) = kind.api();
                (api.group, api.plural, namespace)
            })
            .collect();
        allowed.sort_unstable();
        watched.sort_unstable();
        assert_eq!(allowed, watched);
    }
}
