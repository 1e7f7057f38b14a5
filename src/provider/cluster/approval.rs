//! Approving the one certificate request that is expected.

use serde_json::{Value, json};

use super::certificate_request::{CertificateRefusal, check};
use super::error::ClusterError;
use super::request::{Collection, PatchKind, apis};
use super::{ClusterClient, text_at};
use crate::resource::kubernetes::BOOTSTRAP_GROUP;
use crate::resource::names::WorkerName;

/// The result of a search for the certificate request of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// The kubelet has not requested it yet.
    NotThereYet,
    /// The worker's request was approved, now or before.
    Approved {
        /// The request's name.
        request: String,
    },
    /// A request with the worker's token that a kubelet does not make.
    Refused(Refusal),
}

/// A request that will not be approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate request {request} is not approved: {reason}")]
pub struct Refusal {
    /// The request's name.
    pub request: String,
    /// Why not.
    pub reason: CertificateRefusal,
}

impl ClusterClient {
    /// Finds the certificate requests with a worker's token and approves exactly those for
    /// its kubelet's client certificate. A restarted kubelet makes a second request, and
    /// waits for that one.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn approve_csr_for(
        &self,
        worker: &WorkerName,
        token_id: &str,
    ) -> Result<Approval, ClusterError> {
        let requests = self.collection(apis::CERTIFICATE_SIGNING_REQUEST, None);
        let requester = format!("system:bootstrap:{token_id}");
        let mut approved = None;
        let mut refusal = None;
        // Of all signers: a request with the token to another signer is refused with an
        // error.
        let list = requests.list(None, None);
        for object in self.certificate_requests.get(list).await?.iter() {
            if object["spec"]["username"] != requester.as_str() {
                continue;
            }
            let name = text_at(&object["metadata"], "name");
            match (check(object, worker.as_str(), token_id), decided(object)) {
                (Ok(()), Some("Approved")) => approved = Some(name),
                (Ok(()), None) => match approve(&requests, &name, object, worker).await {
                    Ok(()) => approved = Some(name),
                    // It changed since it was read, perhaps by our own request:
                    // the next refresh shows it.
                    Err(error) if error.is_conflict() => {}
                    Err(error) => return Err(error),
                },
                (Err(reason), None) => refusal = Some(Refusal { request: name, reason }),
                // Denied or failed: the kubelet asks again.
                _ => {}
            }
        }
        Ok(match (refusal, approved) {
            (Some(refusal), _) => Approval::Refused(refusal),
            (None, Some(request)) => Approval::Approved { request },
            (None, None) => Approval::NotThereYet,
        })
    }

    /// Whether the cluster would approve the requests of our bootstrap tokens by itself,
    /// which stargate does not want.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn review_bootstrap_auto_approval(&self) -> Result<bool, ClusterError> {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": "system:bootstrap:000000",
                "groups": ["system:bootstrappers", BOOTSTRAP_GROUP, "system:authenticated"],
                "resourceAttributes": {
                    "group": "certificates.k8s.io",
                    "resource": "certificatesigningrequests",
                    "subresource": "nodeclient",
                    "verb": "create",
                    "version": "*",
                },
            },
        });
        let reviews = self.collection(apis::SUBJECT_ACCESS_REVIEW, None);
        let response = reviews.create("nodeclient", &review).await?;
        response["status"]["allowed"].as_bool().ok_or_else(|| {
            let about = reviews.about("create", "nodeclient");
            about.malformed("the review says neither yes nor no in `status.allowed`")
        })
    }
}

fn decided(object: &Value) -> Option<&str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().filter_map(|condition| condition["type"].as_str()).next()
}

/// The version guards against a request that was replaced after it was checked.
async fn approve(
    requests: &Collection,
    name: &str,
    object: &Value,
    worker: &WorkerName,
) -> Result<(), ClusterError> {
    let patch = json!({
        "metadata": { "resourceVersion": object["metadata"]["resourceVersion"] },
        "status": { "conditions": [{
            "type": "Approved",
            "status": "True",
            "reason": "StargateJoin",
            "message": format!("stargate joins the worker {worker}"),
        }]},
    });
    requests.patch(name, Some("approval"), PatchKind::Merge, &patch).await.map(|_| ())
}
