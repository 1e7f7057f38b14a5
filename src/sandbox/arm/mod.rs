//! An in-memory emulation of Azure Resource Manager.
//!
//! It reproduces the behaviour that clients depend on: writes that continue after the response,
//! etags that change once more at the end of an operation, children stored in their parent's body,
//! one write at a time below a parent, ids in a different letter case, errors in ARM's format. It
//! never sleeps and reads no clock.
//!
//! Children (subnets, routes, rules, agent pools) are stored only in the body of their parent.

mod account;
mod account_facts;
mod actions;
mod aks;
mod aks_entra;
mod aks_kubeconfig;
mod aks_network;
mod aks_pools;
mod aks_version;
mod cascading_deletion;
mod children;
mod completion;
mod compute;
mod credentials;
mod deletion;
mod deployments;
mod directory;
mod dispatch;
mod draft;
mod errors;
mod etags;
mod groups;
mod guards;
mod images;
mod index;
mod json;
mod kind;
mod list;
mod locks;
mod management_locks;
mod network;
mod operation;
mod operation_effects;
mod operations;
mod path;
mod power;
mod power_state;
mod regions;
mod render;
mod request;
mod resource_body;
mod responses;
mod sizes;
mod store;
mod subscriptions;
mod tags;
mod template;
#[cfg(test)]
mod test_client;
mod usage;
mod vm_attachments;
mod write;

pub use account::{
    AccountExemption, AccountLock, AccountPolicy, ArmAccount, PolicyRule, VersionSupport,
};
pub(in crate::sandbox) use directory::Assertion;
pub use directory::{Directory, DirectoryIdentity, FederatedCredential};
pub use errors::OperationFailure;
pub use power_state::PowerOff;
pub use request::ArmContext;
pub use sizes::{quota_names, size_names};
pub use store::ArmStore;
pub use subscriptions::{SUBSCRIPTION, TENANT};
