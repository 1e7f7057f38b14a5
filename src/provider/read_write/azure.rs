//! Reads of Azure Resource Manager, and writes to it.

use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::Value;

use crate::provider::azure::{ArmClient, Precondition, TagUpdate};
use crate::provider::error::RequestError;
use crate::resource::ArmId;

/// Reads Azure.
///
/// Every method fails with [`RequestError`] if Azure does not answer or refuses the
/// request.
#[async_trait]
pub trait AzureRead: Debug + Send + Sync {
    /// All objects of a list such as `/subscriptions/S/resourceGroups`.
    async fn list(&self, path: &str, api_version: &str) -> Result<Vec<Value>, RequestError>;

    /// All entries of a list of values without ids, such as quotas.
    async fn list_values(&self, path: &str, api_version: &str) -> Result<Vec<Value>, RequestError>;

    /// One object; `None` if it does not exist.
    async fn get(&self, id: &ArmId) -> Result<Option<Value>, RequestError>;

    /// The answer to `listClusterUserCredential` of an AKS cluster, which holds a
    /// kubeconfig. Azure serves it by POST, but it changes nothing.
    ///
    /// The kubeconfig of a private cluster has its private name unless the public one is asked
    /// for: `server-fqdn`, which `az aks get-credentials --public-fqdn` sends, too
    /// (<https://learn.microsoft.com/rest/api/aks/managed-clusters/list-cluster-user-credentials>).
    async fn cluster_user_credential(
        &self,
        cluster: &ArmId,
        with_public_name: bool,
    ) -> Result<Value, RequestError>;
}

/// Writes to Azure; can read it too.
#[async_trait]
pub trait AzureWrite: AzureRead {
    /// Creates or replaces an object, waits until Azure has finished, and returns
    /// the object.
    async fn put(
        &self,
        id: &ArmId,
        body: &Value,
        precondition: Precondition,
    ) -> Result<Value, RequestError>;

    /// Updates only these tags of an object.
    async fn update_tags(&self, id: &ArmId, update: &TagUpdate) -> Result<(), RequestError>;

    /// Deletes an object and waits until it is deleted.
    async fn delete(&self, id: &ArmId, precondition: Precondition) -> Result<(), RequestError>;

    /// Waits until no operation runs on an object, and returns the object;
    /// `None` if it does not exist.
    async fn wait_until_idle(&self, id: &ArmId) -> Result<Option<Value>, RequestError>;
}

#[async_trait]
impl AzureRead for ArmClient {
    async fn list(&self, path: &str, api_version: &str) -> Result<Vec<Value>, RequestError> {
        Self::list(self, path, api_version).await
    }

    async fn list_values(&self, path: &str, api_version: &str) -> Result<Vec<Value>, RequestError> {
        Self::list_values(self, path, api_version).await
    }

    async fn get(&self, id: &ArmId) -> Result<Option<Value>, RequestError> {
        Self::get(self, id).await
    }

    async fn cluster_user_credential(
        &self,
        cluster: &ArmId,
        with_public_name: bool,
    ) -> Result<Value, RequestError> {
        let parameters = if with_public_name { "&server-fqdn=public" } else { "" };
        self.post_with(cluster, ("listClusterUserCredential", parameters), &Value::Null).await
    }
}

#[async_trait]
impl AzureWrite for ArmClient {
    async fn put(
        &self,
        id: &ArmId,
        body: &Value,
        precondition: Precondition,
    ) -> Result<Value, RequestError> {
        Self::put(self, id, body, precondition).await
    }

    async fn update_tags(&self, id: &ArmId, update: &TagUpdate) -> Result<(), RequestError> {
        Self::update_tags(self, id, update).await
    }

    async fn delete(&self, id: &ArmId, precondition: Precondition) -> Result<(), RequestError> {
        Self::delete(self, id, precondition).await
    }

    async fn wait_until_idle(&self, id: &ArmId) -> Result<Option<Value>, RequestError> {
        Self::wait_until_idle(self, id).await
    }
}
