//! Measured reachability between pods, as Goldpinger reports it.

use crate::diagnostics::{Code, Failure};
use crate::inventory::{GoldpingerPod, Measurement};
use crate::provider::cluster::MeasureError;
use crate::provider::read_write::ClusterRead;

/// How many pods are queried before the measurement fails.
const MAX_ASKED: usize = 3;

/// Why there is no measurement. `Failure::from` gives it a code and a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// The cluster has no Goldpinger pod.
    #[error("the cluster has no Goldpinger pod{}", place(namespace.as_deref()))]
    NotThere {
        /// The namespace that was searched; all of them if absent.
        namespace: Option<String>,
    },
    /// No Goldpinger pod is ready.
    #[error("0 of {0} Goldpinger pods are ready")]
    NotReady(usize),
    /// Goldpinger's answer could not be read.
    #[error("{0}")]
    Failed(#[from] MeasureError),
    /// The cluster could not be read.
    #[error("cannot query Goldpinger: the cluster could not be read")]
    NoCluster,
}

fn place(namespace: Option<&str>) -> String {
    namespace.map(|it| format!(" in the namespace {it}")).unwrap_or_default()
}

impl From<&Unmeasured> for Failure {
    fn from(error: &Unmeasured) -> Self {
        let (code, remedy) = match error {
            Unmeasured::NotThere { .. } => (
                Code::GoldpingerMissing,
                "run `stargate apply`, which installs it unless `[network] goldpinger` is false; \
                 label a Goldpinger of your own `app=goldpinger`",
            ),
            Unmeasured::NotReady(_) => (
                Code::GoldpingerMissing,
                "`kubectl describe pods -A -l app=goldpinger` shows why; if pods cannot reach the \
                 API server, `stargate trace` shows which hop drops their packets",
            ),
            Unmeasured::Failed(MeasureError::Cluster(error)) => return error.into(),
            Unmeasured::NoCluster => {
                (Code::SourceGap, "`stargate plan` shows why the cluster could not be read")
            }
            Unmeasured::Failed(MeasureError::Refused(_)) => (
                Code::GoldpingerRefused,
                "grant the credentials `list` on pods and `get` on pods/proxy in Goldpinger's \
                 namespace; the role Azure Kubernetes Service Cluster Admin has both",
            ),
            Unmeasured::Failed(MeasureError::NoResponse { .. }) => (
                Code::GoldpingerUnusable,
                "run the same command again; if the pod still does not answer, look at its log, and \
                 at konnectivity-agent in kube-system, through which the API server reaches pods",
            ),
            Unmeasured::Failed(MeasureError::TooLarge { .. } | MeasureError::Malformed { .. }) => (
                Code::GoldpingerUnusable,
                "check which pods have the label `app=goldpinger`; `--namespace` selects one \
                 namespace",
            ),
        };
        Self::new(code, error.to_string(), remedy)
    }
}

/// Queries Goldpinger's pods one after another until one answers, in the order
/// that `order` sorts them into.
///
/// # Errors
///
/// There is no ready Goldpinger pod, the credentials do not allow the query, or
/// the answer cannot be used.
pub async fn measure(
    client: &dyn ClusterRead,
    namespace: Option<&str>,
    order: impl Fn(&mut [GoldpingerPod]),
) -> Result<Measurement, Unmeasured> {
    let mut pods = client.pingers(namespace).await?;
    if pods.is_empty() {
        return Err(Unmeasured::NotThere { namespace: namespace.map(str::to_owned) });
    }
    order(&mut pods);
    let mut failed = Unmeasured::NotReady(pods.len());
    let ready = pods.iter().filter(|pod| pod.ready && pod.address.is_some());
    for pod in ready.take(MAX_ASKED) {
        match client.check_all(pod, &pods).await {
            Ok(measurement) => return Ok(measurement),
            // The first failure is of the pod that should have answered best.
            Err(error @ MeasureError::NoResponse { .. }) => {
                if matches!(failed, Unmeasured::NotReady(_)) {
                    failed = error.into();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(failed)
}
