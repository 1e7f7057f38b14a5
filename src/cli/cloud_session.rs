//! Sessions of the real services: endpoints and credentials from the topology and the
//! environment.

use std::path::Path;
use std::sync::Arc;

use super::error::CliError;
use super::session::{ReadSession, SignInRefusal, WriteSession, of_api, public_key, transport};
use super::ui::Ui;
use super::{exit, reminder, ssh_access};
use crate::apply::StopSignal;
use crate::diagnostics::Code;
use crate::net::service_url;
use crate::provider::azure::ArmClient;
use crate::provider::clients::{Clients, KubeconfigConnector, KubeconfigSource};
use crate::provider::credentials::{FailedSignIn, TailnetCredentials, TokenSource};
use crate::provider::error::RequestError;
use crate::provider::files::unreadable;
use crate::provider::host::HostWrite;
use crate::provider::http::{RequestCount, Transport};
use crate::provider::limits::Limits;
use crate::provider::reqwest_transport::ReqwestTransport;
use crate::provider::secret::Secret;
use crate::provider::service_account::{self, ServiceAccount};
use crate::provider::sign_in::{
    AzureEndpoints, AzureTokens, CustomEndpoints, SignIn, is_azure_cli_installed,
};
use crate::provider::tailnet::TailnetClient;
use crate::provider::tailnet::client::PUBLIC_SERVICE;
use crate::topology::load::Loaded;
use crate::topology::model::Topology;
use crate::topology::names::SubscriptionId;

/// Replaces the address of the Tailscale API, as for Tailscale's provider for Terraform.
const TAILNET_VARIABLE: &str = "TAILSCALE_BASE_URL";

type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// Creates the clients for a loaded topology, and signs in to Azure. A sign-in that takes
/// long is shown in `ui`.
///
/// # Errors
///
/// Credentials are missing, all of which the error has; or Azure did not accept them and
/// `refusal` ends the command.
pub(super) async fn open(
    loaded: Loaded,
    folder: &Path,
    (ui, refusal): (Option<&Ui>, SignInRefusal),
    stop: StopSignal,
) -> Result<WriteSession, CliError> {
    let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let machine = Machine {
        lookup: &lookup,
        folder,
        transport: transport()?,
        requests: RequestCount::default(),
    };
    let waiting = Waiting { ui, stop: &stop };
    let access = Access::find(&loaded.topology, &machine, &waiting).await?;
    let tokens = &access.tokens;
    let first = async {
        match (tokens.token().await, refusal) {
            (Err(error), SignInRefusal::EndsCommand) => Err(of_api(&error)),
            (Err(error), SignInRefusal::IsReported) => Ok(Some(FailedSignIn(error))),
            (Ok(_), _) => Ok(None),
        }
    };
    let failed = waiting.for_sign_in(first, tokens).await?;
    let (subscription, ssh_public_key) =
        (access.subscription.clone(), access.ssh_public_key.clone());
    let clients = access.clients(&loaded.topology, machine.transport, machine.requests, failed);
    let reads = ReadSession {
        loaded,
        clients: clients.read_only(),
        subscription,
        ssh_public_key,
        sandbox: None,
        stop,
    };
    Ok(WriteSession { reads, clients })
}

/// The means of this machine for a session.
struct Machine<'a> {
    lookup: Lookup<'a>,
    /// The folder of the topology file.
    folder: &'a Path,
    transport: Arc<ReqwestTransport>,
    requests: RequestCount,
}

/// The endpoints and credentials of a session.
struct Access {
    subscription: SubscriptionId,
    endpoints: AzureEndpoints,
    tokens: AzureTokens,
    tailnet_url: String,
    tailnet: TailnetCredentials,
    kubeconfig: KubeconfigSource,
    ssh_public_key: String,
    hosts: Arc<dyn HostWrite>,
}

impl Access {
    /// Finds them, or says all that is missing.
    async fn find(
        topology: &Topology,
        machine: &Machine<'_>,
        waiting: &Waiting<'_>,
    ) -> Result<Self, CliError> {
        let lookup = machine.lookup;
        let mut problems = Problems::default();
        let subscription = problems.take(subscription(topology, lookup));
        let azure = problems.take(azure(topology, machine));
        let tailnet = problems.take(tailnet(topology, lookup));
        let kubeconfig = problems.take(kubeconfig_source(lookup));
        let ssh_public_key = problems.take(public_key(topology));
        let hosts = ssh_public_key.as_ref().and_then(|key| {
            let requests = &machine.requests;
            problems.take(ssh_access::hosts(topology, machine.folder, key, &lookup, requests))
        });
        if let Some((_, tokens)) = &azure {
            let check = async { tokens.check_local().await.map_err(|error| of_api(&error)) };
            problems.take(waiting.for_sign_in(check, tokens).await);
        }
        match (subscription, azure, tailnet, kubeconfig, ssh_public_key, hosts) {
            (
                Some(subscription),
                Some((endpoints, tokens)),
                Some((tailnet_url, tailnet)),
                Some(kubeconfig),
                Some(ssh_public_key),
                Some(hosts),
            ) if problems.0.is_empty() => Ok(Self {
                subscription,
                endpoints,
                tokens,
                tailnet_url,
                tailnet,
                kubeconfig,
                ssh_public_key,
                hosts,
            }),
            _ => Err(problems.into_error()),
        }
    }

    fn clients(
        self,
        topology: &Topology,
        transport: Arc<ReqwestTransport>,
        requests: RequestCount,
        failed: Option<FailedSignIn>,
    ) -> Clients {
        let limits = Limits::published();
        let (tokens, cluster_tokens): (Arc<dyn TokenSource>, Arc<dyn TokenSource>) = match failed {
            // Another attempt for each request would take its time, and lock the account.
            Some(failed) => (Arc::new(failed.clone()), Arc::new(failed)),
            None => {
                let of_clusters = self.tokens.for_clusters();
                (Arc::new(self.tokens), Arc::new(of_clusters))
            }
        };
        let azure = ArmClient::new(
            transport.clone(),
            &self.endpoints.resource_manager,
            tokens,
            limits.clone(),
            requests.clone(),
        );
        let tailnet = TailnetClient::new(
            transport,
            &self.tailnet_url,
            &topology.tailnet.name,
            self.tailnet,
            limits.clone(),
            requests.clone(),
        );
        let cluster = KubeconfigConnector {
            limits,
            requests: requests.clone(),
            ..KubeconfigConnector::default()
        };
        let cluster = cluster.with_azure_tokens(cluster_tokens);
        Clients {
            kubeconfig: self.kubeconfig,
            azure: Arc::new(azure),
            tailnet: Arc::new(tailnet),
            cluster: Arc::new(cluster),
            hosts: self.hosts,
            requests,
        }
    }
}

/// Problems that are independent of each other, for one error.
#[derive(Default)]
struct Problems(Vec<CliError>);

impl Problems {
    /// The value, or `None` with its error kept.
    fn take<T>(&mut self, result: Result<T, CliError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    fn into_error(self) -> CliError {
        CliError::all(self.0).unwrap_or_else(|| CliError::new("credentials are missing"))
    }
}

/// A user who waits for the sign-in, and may interrupt it.
struct Waiting<'a> {
    ui: Option<&'a Ui>,
    stop: &'a StopSignal,
}

impl Waiting<'_> {
    /// Completes a part of the sign-in, and shows that it runs; ends at a signal.
    async fn for_sign_in<T>(
        &self,
        work: impl Future<Output = Result<T, CliError>>,
        tokens: &AzureTokens,
    ) -> Result<T, CliError> {
        let reminded = reminder::signing_in(work, tokens.origin(), self.ui);
        tokio::select! {
            biased;
            () = self.stop.requested() => {
                Err(CliError::new("interrupted while signing in to Azure").exit(exit::INTERRUPTED))
            }
            result = reminded => result,
        }
    }
}

fn subscription(topology: &Topology, lookup: Lookup<'_>) -> Result<SubscriptionId, CliError> {
    if let Some(written) = &topology.azure.subscription {
        return Ok(written.clone());
    }
    match lookup("AZURE_SUBSCRIPTION_ID") {
        Some(id) if SubscriptionId::is_legal(&id) => Ok(SubscriptionId::new(id)),
        Some(_) => Err(CliError::coded(
            Code::IllegalSubscription,
            "AZURE_SUBSCRIPTION_ID is not the ID of a subscription, a GUID",
        )
        .remedy("set it to the output of `az account show --query id`")),
        None => Err(CliError::coded(Code::AzureCredentialsMissing, "no Azure subscription is set")
            .remedy("set `[azure] subscription`, or AZURE_SUBSCRIPTION_ID")),
    }
}

fn azure(
    topology: &Topology,
    machine: &Machine<'_>,
) -> Result<(AzureEndpoints, AzureTokens), CliError> {
    let Machine { lookup, transport, requests, .. } = machine;
    let written = &topology.azure.endpoints;
    let custom = CustomEndpoints {
        resource_manager: written.resource_manager.as_deref(),
        authority: written.authority.as_deref(),
        audience: written.audience.as_deref(),
    };
    let find = || {
        let endpoints = AzureEndpoints::resolve(topology.azure.cloud, custom, lookup)?;
        let sign_in = SignIn::from_environment(lookup)?;
        if matches!(sign_in, SignIn::AzureCli) {
            is_azure_cli_installed(lookup)?;
        }
        let transport: Arc<dyn Transport> = transport.clone();
        let tokens = AzureTokens::new(sign_in, endpoints.clone(), transport, requests.clone());
        Ok((endpoints, tokens))
    };
    find().map_err(|error: RequestError| of_api(&error))
}

fn tailnet(
    topology: &Topology,
    lookup: Lookup<'_>,
) -> Result<(String, TailnetCredentials), CliError> {
    let url = match (&topology.tailnet.api, lookup(TAILNET_VARIABLE)) {
        (Some(written), _) => written.clone(),
        (None, None) => PUBLIC_SERVICE.to_owned(),
        (None, Some(text)) => service_url::parse(&text).map_err(|error| {
            let problem = format!("{TAILNET_VARIABLE} is `{text}`: {error}");
            CliError::coded(Code::TailscaleCredentialsMissing, problem).remedy(format!(
                "set {TAILNET_VARIABLE} to a URL such as `{PUBLIC_SERVICE}`, or unset it"
            ))
        })?,
    };
    let credentials =
        TailnetCredentials::from_environment(lookup).map_err(|error| of_api(&error))?;
    Ok((url, credentials))
}

/// The file in `KUBECONFIG` if it is set, the account of the pod within one, and Azure
/// elsewhere.
fn kubeconfig_source(lookup: Lookup<'_>) -> Result<KubeconfigSource, CliError> {
    let Some(path) = lookup("KUBECONFIG") else {
        let account = ServiceAccount::of_pod(&lookup, Path::new(service_account::MOUNT));
        return Ok(account.map_or_else(KubeconfigSource::default, KubeconfigSource::Pod));
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = format!("`{path}` of KUBECONFIG {}", unreadable(&error));
        CliError::coded(Code::KubeconfigMissing, problem).remedy(
            "correct the path, or unset KUBECONFIG to use the cluster credentials from Azure",
        )
    })?;
    Ok(KubeconfigSource::Given(Secret::new(text)))
}
