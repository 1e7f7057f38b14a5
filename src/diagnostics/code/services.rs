//! SG06xx: credentials and services.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::AzureCredentialsMissing,
        text: "SG0601",
        title: "no Azure credentials were found",
        explanation: "None of the usual ways led to a token: environment variables `AZURE_*`, workload \
                      identity, managed identity, or `az login`. Log in with `az login`, or set the \
                      variables of a service principal. Credentials never belong in the topology.",
    },
    Entry {
        code: Code::AzureRefused,
        text: "SG0602",
        title: "Azure refused the credentials",
        explanation: "Azure knows the identity and does not let it do this, or the secret has expired. The \
                      message names the permission. Assign the role Contributor on the subscription or the \
                      groups, and Network Contributor on the AKS VNet.",
    },
    Entry {
        code: Code::TailscaleCredentialsMissing,
        text: "SG0603",
        title: "no Tailscale credentials were found",
        explanation: "Set `TAILSCALE_CLIENT_ID` and `TAILSCALE_CLIENT_SECRET` of an OAuth client, or \
                      `TAILSCALE_API_KEY`. They are needed to make auth keys, to read devices and to \
                      approve routes. An OAuth client is better, since it does not expire with a person.",
    },
    Entry {
        code: Code::TailscaleRefused,
        text: "SG0604",
        title: "Tailscale refused the credentials",
        explanation: "The key has expired, was revoked, or lacks a scope. An OAuth client needs the scopes \
                      to write devices and auth keys, and the topology's tag. Make a new one in the admin \
                      console under Settings, OAuth clients.",
    },
    Entry {
        code: Code::KubeconfigMissing,
        text: "SG0605",
        title: "no kubeconfig for the cluster",
        explanation: "Azure gave no credentials for the cluster and `KUBECONFIG` names no usable file. \
                      Without them, the Kubernetes side can be neither read nor written. Give the identity \
                      the role Azure Kubernetes Service Cluster User, or set `KUBECONFIG`.",
    },
    Entry {
        code: Code::ApiError,
        text: "SG0606",
        title: "a service answered with an error",
        explanation: "The request was understood and refused, or the service had a fault of its own. The \
                      message holds the status, the service's own code and its words. A fault of the \
                      service mostly passes: apply again. A refusal names what to change.",
    },
    Entry {
        code: Code::Throttled,
        text: "SG0607",
        title: "a service asked to slow down for too long",
        explanation: "Every API has a limit of requests, and the service kept refusing after the waits \
                      that it asked for. Others may be using up the same limit. Wait some minutes and go \
                      on; nothing is lost.",
    },
    Entry {
        code: Code::HostKeyChanged,
        text: "SG0608",
        title: "a host's key has changed",
        explanation: "The host shows another key than the one that is pinned in the topology or noted \
                      in known_hosts. Either it was set up anew, or somebody stands between. Nothing is \
                      sent to that host, and the others go on. Compare the fingerprint on the host's \
                      console; if it is right, correct the pin or the line that the message names.",
    },
    Entry {
        code: Code::HostKeyUntrusted,
        text: "SG0609",
        title: "a host's key cannot be trusted",
        explanation: "The host's key is not known and `host_keys` in [ssh] forbids to accept a first one, \
                      or the key is revoked, or the known one cannot be read or checked. Without that, \
                      anybody could pose as the host and be given its secrets. Pin the key as \
                      `host_key` in the topology, or do what the remedy says.",
    },
    Entry {
        code: Code::LoginRefused,
        text: "SG0610",
        title: "a host does not let us in",
        explanation: "sshd took none of the keys that were tried; the message lists them. Put the public \
                      key into the login user's authorized_keys, load the private one into an agent \
                      with `ssh-add`, or name its file in `STARGATE_SSH_KEY`. A host breaks off after \
                      some wrong keys, so an agent with many may hide the right one.",
    },
    Entry {
        code: Code::WrongHost,
        text: "SG0611",
        title: "another host answers",
        explanation: "The host at this address gives itself another name than the topology does. \
                      Addresses get mixed up easily, and what is meant for one machine would \
                      ruin another, so nothing is done on it and the others go on. Correct the \
                      address in the topology, or the name of the host itself.",
    },
    Entry {
        code: Code::ForeignKernelRoute,
        text: "SG0612",
        title: "somebody else's kernel route stands in the way",
        explanation: "A router needs a route to a prefix, and its kernel has one with the same prefix and \
                      metric that stargate did not put there: its protocol number is another one. It is \
                      never overwritten. Find out who put it there (`ip route show PREFIX` on the router \
                      tells the protocol), remove it where it comes from, and apply again.",
    },
    Entry {
        code: Code::GoldpingerMissing,
        text: "SG0613",
        title: "Goldpinger is not there",
        explanation: "`check --live` asks Goldpinger what it measured, and no pod with the label \
                      `app=goldpinger` is there, or none is ready. `apply` installs it unless `[network] \
                      goldpinger` is false. Its pods become ready once their nodes are.",
    },
    Entry {
        code: Code::GoldpingerRefused,
        text: "SG0614",
        title: "Goldpinger may not be asked",
        explanation: "Goldpinger is asked through the API server's proxy, and the credential may not list \
                      pods or not use `pods/proxy`. Bind a role with `list` on pods and `get` on pods/proxy \
                      in its namespace to whoever runs stargate.",
    },
    Entry {
        code: Code::GoldpingerUnusable,
        text: "SG0615",
        title: "Goldpinger gives no usable answer",
        explanation: "A pod with the label `app=goldpinger` gave no answer, one that is far too long, or one \
                      that is none of Goldpinger's. Nothing of it is shown or believed. Look at who carries \
                      the label, and at the pod's log; `--namespace` chooses one namespace.",
    },
    Entry {
        code: Code::ServiceUnread,
        text: "SG0616",
        title: "the services could not be read",
        explanation: "A packet to a service goes to one of its endpoints, and only the cluster knows which \
                      these are. It gave no answer, or the credential may not list services and \
                      endpointslices (of discovery.k8s.io). Both are read only for a trace to a service.",
    },
];
