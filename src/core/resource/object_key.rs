//! The keys of objects.

use serde::{Deserialize, Serialize};

use super::{ArmId, kubernetes};

/// The location of an object in the service that stores it.
///
/// Two keys are equal exactly if they identify the same object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKey {
    /// An object of Azure Resource Manager.
    Azure(ArmId),
    /// The route table of a subnet that is not ours, by the subnet's id.
    AzureAssociation(ArmId),
    /// A device, by its host name among the devices with our tag.
    Device(String),
    /// The routes that a device advertises, by the device's host name.
    DeviceAdvertised(String),
    /// The routes of a device that the tailnet has approved, by the device's host name.
    DeviceApproved(String),
    /// An object of the cluster.
    Kubernetes(kubernetes::ObjectName),
    /// A host's configuration, by host name.
    Host(String),
}

impl ObjectKey {
    /// The Node of a name.
    pub fn node(name: &str) -> Self {
        Self::Kubernetes(kubernetes::ObjectName {
            kind: "Node".into(),
            namespace: None,
            name: name.to_owned(),
        })
    }

    /// The object's own name.
    pub fn name(&self) -> &str {
        match self {
            Self::Azure(id) | Self::AzureAssociation(id) => id.name(),
            Self::Kubernetes(object) => &object.name,
            Self::Device(name)
            | Self::DeviceAdvertised(name)
            | Self::DeviceApproved(name)
            | Self::Host(name) => name,
        }
    }
}
