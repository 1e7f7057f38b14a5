//! SG06xx: credentials and services.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::AzureCredentialsMissing,
        text: "SG0601",
        title: "no Azure credentials were found",
        explanation: "stargate looks for the environment variables of a service principal, of a token of \
                      another issuer and of a managed identity, and for the login of the Azure CLI. It \
                      found none of them, or a file that they name cannot be used. Run `az login`, or set \
                      the variables. Credentials never belong in the topology.",
    },
    Entry {
        code: Code::AzureRefused,
        text: "SG0602",
        title: "Azure refused the credentials",
        explanation: "Azure knows the identity, but it lacks the permission that the message \
                      names, or its token or secret has expired; or Microsoft Entra ID refused \
                      the sign-in, for the cause with the code `AADSTS…`. Assign the role \
                      Contributor on the subscription or on the resource groups, and Network \
                      Contributor on the AKS VNet (`az role assignment create`), or log in again with `az login`.",
    },
    Entry {
        code: Code::TailscaleCredentialsMissing,
        text: "SG0603",
        title: "no Tailscale credentials were found",
        explanation: "stargate needs credentials to create auth keys, read devices and approve \
                      routes. Set `TAILSCALE_OAUTH_CLIENT_ID` and `TAILSCALE_OAUTH_CLIENT_SECRET` \
                      of an OAuth client, or `TAILSCALE_API_KEY`. Prefer an OAuth client: an API \
                      key belongs to a person and expires.",
    },
    Entry {
        code: Code::TailscaleRefused,
        text: "SG0604",
        title: "Tailscale refused the credentials",
        explanation: "The key has expired, was revoked, or lacks a scope. An OAuth client needs the scopes \
                      auth_keys, devices:core and devices:routes, and the topology's tag. Create a new one \
                      in the admin console under Settings, OAuth clients.",
    },
    Entry {
        code: Code::KubeconfigMissing,
        text: "SG0605",
        title: "no kubeconfig for the cluster",
        explanation: "Azure did not return credentials for the cluster, and `KUBECONFIG` does not name a \
                      usable file. Without credentials, Kubernetes objects can be neither read nor \
                      written. Assign the identity the role Azure Kubernetes Service Cluster User, or set \
                      `KUBECONFIG`.",
    },
    Entry {
        code: Code::RequestError,
        text: "SG0606",
        title: "a service answered with an error",
        explanation: "The service refused the request, with a code for which stargate has no specific \
                      advice. The message holds the status and the service's own code and text. Correct \
                      what they name, then run the same command again; `-v` prints nested causes.",
    },
    Entry {
        code: Code::Throttled,
        text: "SG0607",
        title: "a service limits the request rate",
        explanation: "Every API has a limit of requests, and the service still refused after the waiting \
                      times that it had asked for. Other clients may use up the same limit. Wait a few \
                      minutes, then run the same command again: completed changes stay in place.",
    },
    Entry {
        code: Code::HostKeyChanged,
        text: "SG0608",
        title: "a host's key has changed",
        explanation: "The host presents another key than the one pinned in the topology or recorded in \
                      known_hosts. Either it was reinstalled, or another machine answers in its place. \
                      stargate sends nothing to that host and continues with the others. Compare the \
                      fingerprint on the host's console; if it is right, correct the pin or the line that \
                      the message names.",
    },
    Entry {
        code: Code::HostKeyUntrusted,
        text: "SG0609",
        title: "a host's key cannot be trusted",
        explanation: "The key is unknown and `host_keys` in [ssh] does not permit accepting a \
                      first key, or it is revoked, or the known key cannot be read or checked. \
                      Without a trusted key, another machine could pose as the host and receive \
                      its secrets. Pin the key as `host_key` in the topology, or follow the \
                      remedy.",
    },
    Entry {
        code: Code::LoginRefused,
        text: "SG0610",
        title: "a host does not accept the login",
        explanation: "sshd accepted none of the keys that were tried; the message lists them. Put the \
                      public key into the login user's authorized_keys, load the private key into an agent \
                      with `ssh-add`, or name its file in `STARGATE_SSH_KEY`. sshd disconnects after a few \
                      wrong keys, so an agent with many keys may hide the right one.",
    },
    Entry {
        code: Code::WrongHost,
        text: "SG0611",
        title: "a host of another name answers",
        explanation: "The host at this address has another name than the topology says. A change that is \
                      meant for one machine could damage another, so stargate changes nothing on it and \
                      continues with the others. Correct the address in the topology, or the name of the \
                      host with `hostnamectl set-hostname`.",
    },
    Entry {
        code: Code::ForeignKernelRoute,
        text: "SG0612",
        title: "a foreign kernel route conflicts with a router's route",
        explanation: "A router needs a kernel route, and another program has added one with the same \
                      prefix and metric: its protocol number is not stargate's. stargate never overwrites \
                      it. `ip route show PREFIX` on the router shows the protocol. Remove the route where \
                      it is configured, then apply again.",
    },
    Entry {
        code: Code::GoldpingerMissing,
        text: "SG0613",
        title: "Goldpinger is not running",
        explanation: "`check --live` reads Goldpinger's measurements, and no pod with the label \
                      `app=goldpinger` exists, or none is ready. `stargate apply` installs it unless \
                      `[network] goldpinger` is false. Its pods become ready after their nodes.",
    },
    Entry {
        code: Code::GoldpingerRefused,
        text: "SG0614",
        title: "the credentials do not permit queries to Goldpinger",
        explanation: "stargate queries Goldpinger through the API server's proxy, and the \
                      credentials do not permit listing pods or using `pods/proxy`. Bind a role \
                      with `list` on pods and `get` on pods/proxy in Goldpinger's namespace to \
                      the identity that runs stargate.",
    },
    Entry {
        code: Code::GoldpingerUnusable,
        text: "SG0615",
        title: "Goldpinger's response cannot be used",
        explanation: "A pod with the label `app=goldpinger` did not answer, or its response is \
                      too long or not in Goldpinger's format. stargate does not show any part of \
                      it. Check which pods have the label, and the pod's log; `--namespace` \
                      selects one namespace.",
    },
    Entry {
        code: Code::ServiceUnreadable,
        text: "SG0616",
        title: "the services could not be read",
        explanation: "A packet to a service goes to one of its endpoints, and only the cluster \
                      knows them. The cluster did not answer, or the credentials do not permit \
                      listing services and endpointslices (discovery.k8s.io). Only a trace to a \
                      service reads both. Check them with `kubectl auth can-i list \
                      endpointslices`.",
    },
];
