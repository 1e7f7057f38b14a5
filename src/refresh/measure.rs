//! What really gets through, as Goldpinger measured it.

use crate::diagnostics::Code;
use crate::inventory::{Measurement, Pinger};
use crate::provider::cluster::{ClusterClient, MeasureError};

/// How many pods are asked before it is given up.
const MAX_ASKED: usize = 3;

/// Why there is no measurement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmeasured {
    /// Goldpinger is not there.
    #[error("there is no pod of Goldpinger's{}", place(namespace.as_deref()))]
    NotThere {
        /// The one namespace that was looked at.
        namespace: Option<String>,
    },
    /// None of its pods is ready.
    #[error("none of Goldpinger's {0} pods is ready")]
    NotReady(usize),
    /// Its answer could not be had.
    #[error("{0}")]
    Failed(#[from] MeasureError),
    /// The cluster itself could not be read.
    #[error("the cluster could not be read, so that nobody can be asked in it")]
    NoCluster,
}

fn place(namespace: Option<&str>) -> String {
    namespace.map(|it| format!(" in the namespace {it}")).unwrap_or_default()
}

impl Unmeasured {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NotThere { .. } | Self::NotReady(_) => Code::GoldpingerMissing,
            Self::Failed(MeasureError::Refused(_)) => Code::GoldpingerRefused,
            Self::Failed(MeasureError::Cluster(_)) | Self::NoCluster => Code::SourceGap,
            Self::Failed(_) => Code::GoldpingerUnusable,
        }
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::NotThere { .. } => {
                "`stargate apply` installs it where `[network] goldpinger` is not false; one of \
                 your own needs the label `app=goldpinger`"
            }
            Self::NotReady(_) => {
                "`kubectl describe pods -A -l app=goldpinger` tells why; where no pod gets through \
                 to the API server, `stargate trace` tells what drops it"
            }
            Self::Failed(MeasureError::Refused(_)) => {
                "give the credential `list` on pods and `get` on pods/proxy, in the namespace of \
                 Goldpinger; the role Azure Kubernetes Service Cluster Admin has both"
            }
            Self::Failed(MeasureError::NoAnswer { .. }) => {
                "run it again; if it stays so, look at the pod's log, and at konnectivity-agent in \
                 kube-system, through which the API server reaches pods"
            }
            Self::Failed(MeasureError::TooLong { .. } | MeasureError::Nonsense { .. }) => {
                "look at who carries the label `app=goldpinger`; `--namespace` chooses one \
                 namespace"
            }
            Self::Failed(MeasureError::Cluster(_)) | Self::NoCluster => {
                "check that this machine reaches the cluster's API server"
            }
        }
        .to_owned()
    }
}

/// Asks Goldpinger's pods, one after another until one answers. `order` puts
/// those first that are asked first.
///
/// # Errors
///
/// It is not there, nobody may ask it, or it answers nothing of use.
pub async fn measure(
    door: &ClusterClient,
    namespace: Option<&str>,
    order: impl Fn(&mut [Pinger]),
) -> Result<Measurement, Unmeasured> {
    let mut pods = door.pingers(namespace).await?;
    if pods.is_empty() {
        return Err(Unmeasured::NotThere { namespace: namespace.map(str::to_owned) });
    }
    order(&mut pods);
    let mut failed = Unmeasured::NotReady(pods.len());
    let ready = pods.iter().filter(|pod| pod.ready && pod.address.is_some());
    for pod in ready.take(MAX_ASKED) {
        match door.check_all(pod, &pods).await {
            Ok(measurement) => return Ok(measurement),
            // The first failure is of the pod that should have answered best.
            Err(error @ MeasureError::NoAnswer { .. }) => {
                if matches!(failed, Unmeasured::NotReady(_)) {
                    failed = error.into();
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(failed)
}
