//! SG06xx, from SG0617 on: responses of services, clusters and hosts.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::ServiceUnreachable,
        text: "SG0617",
        title: "a service could not be reached",
        explanation: "The request got no answer: name resolution, the connection, or TLS failed, or a \
                      proxy broke the connection. stargate repeated the request before it gave up. Check \
                      the network, `HTTPS_PROXY` and the firewall of the machine that runs stargate, then \
                      run the same command again. `-v` prints the cause.",
    },
    Entry {
        code: Code::ServiceUnavailable,
        text: "SG0618",
        title: "an error on the service's side",
        explanation: "The service answered with a status from 500 to 599 after several attempts. \
                      The request itself is valid. Look at the status page of the service, wait, \
                      and run the same command again: completed changes stay in place.",
    },
    Entry {
        code: Code::UnexpectedResponse,
        text: "SG0619",
        title: "a service sent an unexpected response",
        explanation: "The response is not what the API documents, for example not JSON, or a link \
                      to another host. A proxy or a captive portal may respond in place of the \
                      service. Run the command again; if the response is the same, compare it \
                      with `curl`, and report it with the output of `-v`.",
    },
    Entry {
        code: Code::InvalidRequest,
        text: "SG0620",
        title: "a service rejected a request as invalid",
        explanation: "The service understood the request and found a value that it does not accept, such \
                      as a prefix outside its parent or a VM size without the requested feature. The \
                      message names the field. Correct the topology. Repeating the request does not help.",
    },
    Entry {
        code: Code::ObjectMissing,
        text: "SG0621",
        title: "an object does not exist",
        explanation: "The request refers to an object that the service does not have, or that the \
                      credentials cannot see. It may have been deleted after the plan was made. Run \
                      `stargate plan` again: it reads the live state and plans what is missing.",
    },
    Entry {
        code: Code::Conflict,
        text: "SG0622",
        title: "a request conflicts with the state of an object",
        explanation: "The object exists already, or is in a state that does not allow the change. The \
                      message holds the service's answer. Run `stargate plan` again to compare the live \
                      state with the topology, then apply.",
    },
    Entry {
        code: Code::ChangedSinceRead,
        text: "SG0623",
        title: "an object changed after it was read",
        explanation: "stargate sends the etag or resource version that it read, so that it never \
                      overwrites the change of another writer. Another writer was faster. Nothing was \
                      changed. Run `stargate plan` again: the new plan starts from the new state.",
    },
    Entry {
        code: Code::OperationInProgress,
        text: "SG0624",
        title: "another operation is in progress",
        explanation: "Azure serialises operations on an object and on its parent, and one that stargate \
                      did not start is still running: an upgrade, a deletion, or another deployment. Wait \
                      until it has ended (`az resource show --ids ID --query \
                      properties.provisioningState`), then apply again.",
    },
    Entry {
        code: Code::ObjectInUse,
        text: "SG0625",
        title: "an object is still in use",
        explanation: "The service does not delete an object while another one refers to it, such \
                      as a subnet that still holds a network interface. The message names the \
                      object that uses it. Delete or detach that object, then apply again.",
    },
    Entry {
        code: Code::ManagementLock,
        text: "SG0626",
        title: "a management lock forbids the change",
        explanation: "A lock of type CanNotDelete or ReadOnly applies to the object, its resource group or \
                      the subscription. stargate does not remove locks. `az lock list --resource-group \
                      GROUP` shows them. Remove the lock, or leave the object out of the topology.",
    },
    Entry {
        code: Code::PolicyDenied,
        text: "SG0627",
        title: "Azure Policy forbids the change",
        explanation: "A policy assignment of the subscription or of a management group denies the request. \
                      Landing zones often deny public IP addresses and IP forwarding on network \
                      interfaces, and routers need both. The message names the assignment. Ask its owner \
                      for an exemption of the resource group (`az policy exemption create`).",
    },
    Entry {
        code: Code::DenyAssignment,
        text: "SG0628",
        title: "a deny assignment forbids the change",
        explanation: "A deny assignment overrides every role. AKS creates one when its node resource group \
                      is restricted, and managed applications do the same. Roles do not help. Allow \
                      changes with `az aks update --nrg-lockdown-restriction-level Unrestricted`, or use \
                      the network mode `own`.",
    },
    Entry {
        code: Code::ProviderNotRegistered,
        text: "SG0629",
        title: "a resource provider is not registered",
        explanation: "A subscription can create a type of resource only after its provider was registered. \
                      Run `az provider register --namespace NAMESPACE --wait` for the namespace in the \
                      message (Microsoft.ContainerService, Microsoft.Network, Microsoft.Compute), then \
                      apply again.",
    },
    Entry {
        code: Code::QuotaExceeded,
        text: "SG0630",
        title: "a quota is used up",
        explanation: "The subscription has a limit on cores per VM family and region, on public IP \
                      addresses and on other resources, and the change would exceed it. `az vm list-usage \
                      --location REGION -o table` shows the limits. Request an increase, or choose another \
                      VM size or region.",
    },
    Entry {
        code: Code::SkuUnavailable,
        text: "SG0631",
        title: "the VM size is not available",
        explanation: "The region, the zone or the subscription does not offer the VM size, or Azure has no \
                      capacity for it now. `az vm list-skus --location REGION --size SIZE --all -o table` \
                      shows the restrictions. Choose another size or region; for a lack of capacity, try \
                      again later.",
    },
    Entry {
        code: Code::SubscriptionUnusable,
        text: "SG0632",
        title: "the subscription cannot be used",
        explanation: "Azure does not find the subscription for these credentials, or it is disabled. \
                      Credentials belong to one tenant and see only its subscriptions. `az account list -o \
                      table` shows them. Correct `[azure] subscription` or `AZURE_SUBSCRIPTION_ID`, or log \
                      in to the other tenant with `az login --tenant TENANT`.",
    },
    Entry {
        code: Code::VersionUnsupported,
        text: "SG0633",
        title: "AKS does not support the Kubernetes version",
        explanation: "AKS supports a version only for a time, and upgrades go through one minor version at \
                      a time. `az aks get-versions --location REGION -o table` lists the versions and \
                      their upgrades. Set `[cluster] kubernetes_version` to one of them.",
    },
    Entry {
        code: Code::ClusterRefused,
        text: "SG0634",
        title: "the Kubernetes API server refused the credentials",
        explanation: "The API server does not accept the credentials (401), or RBAC does not allow the \
                      request (403). On a cluster with Azure RBAC, assign the role Azure Kubernetes \
                      Service RBAC Cluster Admin; on others, use the cluster's admin kubeconfig. `kubectl \
                      auth can-i --list` shows what the credentials allow.",
    },
    Entry {
        code: Code::AdmissionRefused,
        text: "SG0635",
        title: "an admission webhook refused the request",
        explanation: "A webhook or an admission policy of the cluster rejected an object. Gatekeeper, \
                      Kyverno and Azure Policy for AKS work this way. The message holds the webhook's \
                      answer. Add an exception for the object or for the namespace, then apply again.",
    },
    Entry {
        code: Code::FieldConflict,
        text: "SG0636",
        title: "another field manager owns a field",
        explanation: "With server-side apply, every field of an object has an owner, and another manager \
                      owns a field that the topology sets. `kubectl get KIND NAME -o yaml \
                      --show-managed-fields` shows the owners. Remove the field from the other manager's \
                      configuration, or delete the object and apply again.",
    },
    Entry {
        code: Code::HostUnreachable,
        text: "SG0637",
        title: "a host cannot be reached by SSH",
        explanation: "The connection to sshd failed, or its jump host is down. Routers are \
                      reached through the tailnet, workers through their datacenter's router. \
                      `tailscale ping ROUTER` checks the first hop, `ssh -J ROUTER WORKER` the \
                      second. Nothing is changed on a host that does not answer.",
    },
    Entry {
        code: Code::ConnectionLost,
        text: "SG0638",
        title: "the connection to a host broke",
        explanation: "The SSH connection ended while a command was running, so it is unknown how much of \
                      it was done. Every step checks the state of the host before it acts, so it is safe \
                      to run the same command again.",
    },
    Entry {
        code: Code::HostCommandFailed,
        text: "SG0639",
        title: "a command failed on a host",
        explanation: "A command that stargate ran over SSH failed, did not end in time, or printed \
                      something that stargate does not understand. The message has the command and \
                      the last lines of its output. Run that command on the host to find the cause, \
                      correct it there, then run the same stargate command again: completed steps \
                      are not repeated.",
    },
    Entry {
        code: Code::OperationFailed,
        text: "SG0640",
        title: "an operation ended in failure",
        explanation: "Azure accepted the request and its operation ended as Failed or Canceled. The \
                      message holds Azure's code and text. Look at the activity log of the resource group \
                      in the portal, correct the cause, then apply again.",
    },
    Entry {
        code: Code::ObjectUnreadable,
        text: "SG0641",
        title: "an object could not be understood",
        explanation: "The service returned an object with a value that this version of stargate does not \
                      know. The object is treated as unknown, never as missing: nothing that depends on it \
                      is changed or deleted. Update stargate, or report the object's JSON.",
    },
];
