//! The stable codes of errors and warnings.

mod addresses;
mod all;
mod apply;
mod entry;
mod facts;
mod file;
mod names;
mod preflight;
mod refusals;
mod sandbox;
mod services;
mod text;

use entry::Entry;
pub use text::UnknownCode;

/// A stable code such as `SG0303`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// SG0101: the file is not UTF-8.
    NotUtf8,
    /// SG0102: the file is empty.
    EmptyFile,
    /// SG0103: the file is too large.
    TooLarge,
    /// SG0104: the file is not valid TOML.
    Syntax,
    /// SG0105: unknown key.
    UnknownKey,
    /// SG0106: wrong type of value.
    WrongType,
    /// SG0107: a required key is missing.
    MissingKey,
    /// SG0108: the value is not one of the choices.
    UnknownValue,
    /// SG0109: the number is out of bounds.
    OutOfBounds,
    /// SG0110: a datacenter needs exactly one kind.
    DatacenterKind,
    /// SG0111: the kind `qemu` is not supported yet.
    UnsupportedKind,
    /// SG0112: the key does not fit the datacenter's kind.
    KeyNotForKind,
    /// SG0113: the name pattern has no place for the number.
    NamePatternInvalid,
    /// SG0114: a node pool needs `count`, or `min` and `max`.
    ScaleConflict,
    /// SG0115: the file cannot be read.
    Unreadable,
    /// SG0130: a file would be overwritten.
    OutputExists,
    /// SG0201: the name is not a legal host or Kubernetes name.
    IllegalName,
    /// SG0202: Azure does not take the name.
    IllegalAzureName,
    /// SG0203: the name is taken already.
    DuplicateName,
    /// SG0204: there is no such profile.
    UnknownProfile,
    /// SG0205: not a usable Kubernetes version.
    InvalidVersion,
    /// SG0206: the kubelet's version does not fit the control plane.
    VersionSkew,
    /// SG0207: not a legal tailnet tag.
    IllegalTag,
    /// SG0208: not the name of an Azure region.
    IllegalRegion,
    /// SG0209: not the name of an Azure VM size.
    IllegalVmSize,
    /// SG0210: not a subscription id.
    IllegalSubscription,
    /// SG0211: not a usable hardware address.
    InvalidMac,
    /// SG0212: not a host key.
    InvalidHostKey,
    /// SG0213: not a legal label or taint.
    InvalidLabel,
    /// SG0214: there are no workers.
    NoWorkers,
    /// SG0215: a machine that exists already needs its address.
    MissingMachineFact,
    /// SG0216: invalid SSH settings.
    InvalidSsh,
    /// SG0217: the cluster has no node pool.
    NoNodePools,
    /// SG0218: the profile is not used.
    UnusedProfile,
    /// SG0219: the name is reserved.
    ReservedName,
    /// SG0220: not the name of a tailnet.
    IllegalTailnetName,
    /// SG0221: not the URL of a service.
    InvalidUrl,
    /// SG0230: an `[[ignore]]` is not valid.
    InvalidIgnore,
    /// SG0231: the cluster has no system node pool.
    NoSystemPool,
    /// SG0232: the support plan needs another tier.
    SupportPlanTier,
    /// SG0301: not an IPv4 prefix.
    InvalidCidr,
    /// SG0302: the prefix has bits set beyond its length.
    HostBits,
    /// SG0303: two networks overlap.
    Overlap,
    /// SG0304: AKS refuses the range.
    RefusedRange,
    /// SG0305: the range belongs to Tailscale.
    TailnetRange,
    /// SG0306: not an IPv4 address.
    InvalidAddress,
    /// SG0307: the address is outside its subnet.
    AddressOutsideSubnet,
    /// SG0308: the address is reserved.
    ReservedAddress,
    /// SG0309: the address is taken already.
    DuplicateAddress,
    /// SG0310: the hardware address is taken already.
    DuplicateMac,
    /// SG0311: the pod CIDR is taken already.
    DuplicatePodCidr,
    /// SG0312: the prefix is outside the cluster's pod CIDR.
    PodRangeOutsideCluster,
    /// SG0313: the pod CIDR is outside the datacenter's pool.
    PodCidrOutsidePool,
    /// SG0314: the cluster's pod CIDR is too small.
    PodCidrTooSmall,
    /// SG0315: the pool is too small for its workers.
    PoolTooSmall,
    /// SG0316: AKS's own nodes will take addresses of the pool.
    PoolOverlapsAksRange,
    /// SG0317: AKS may later assign addresses of the pool to its own nodes.
    PoolNearAksRange,
    /// SG0318: invalid length of a pod prefix.
    PodPrefixLength,
    /// SG0319: workers without a pod CIDR need a pool.
    MissingPool,
    /// SG0320: the subnet is outside its VNet.
    SubnetOutsideNetwork,
    /// SG0321: the router's subnet is outside the AKS VNet.
    RouterSubnetOutsideVnet,
    /// SG0322: a route table would hold too many routes.
    TooManyRoutes,
    /// SG0323: the cluster would have too many nodes.
    TooManyNodes,
    /// SG0324: the subnet is too small.
    SubnetTooSmall,
    /// SG0401: the router's subnet overlaps a live subnet of AKS.
    LiveSubnetOverlap,
    /// SG0402: a worker's pod CIDR overlaps that of a live AKS node.
    LivePodOverlap,
    /// SG0403: a foreign route table is on an AKS subnet.
    ForeignRouteTable,
    /// SG0404: the node resource group is locked.
    NodeGroupLocked,
    /// SG0405: the API server is private.
    PrivateApiServer,
    /// SG0406: the tailnet's policy has no owner for the tag.
    TagOwnersMissing,
    /// SG0407: two devices of the tailnet advertise the same prefix.
    PrefixConflict,
    /// SG0408: the kubelet's version does not fit the live API server.
    LiveVersionSkew,
    /// SG0409: a source could not be read.
    SourceGap,
    /// SG0410: the cluster's network settings do not fit.
    ClusterUnsupported,
    /// SG0411: the kubeconfig is of another cluster.
    KubeconfigServer,
    /// SG0412: the existing cluster was not found.
    ExistingClusterMissing,
    /// SG0421: the node key of a router expires.
    RouterKeyExpiry,
    /// SG0422: a routing rule of others captures packets of the topology.
    ForeignHostRouting,
    /// SG0423: a Tailscale setting prevents a router from forwarding.
    RouterTailscaleState,
    /// SG0424: a Node is neither AKS's nor a worker of the topology.
    UnknownNode,
    /// SG0430: an `[[ignore]]` has expired.
    IgnoreExpired,
    /// SG0431: the topology names an older Kubernetes version than the live one.
    KubernetesDowngrade,
    /// SG0432: the upgrade would skip a minor version of Kubernetes.
    KubernetesMinorSkipped,
    /// SG0433: the cluster has a node pool that the topology does not own.
    ForeignNodePool,
    /// SG0434: the key of a node pool is too long to name a successor.
    NodePoolNotReplaceable,
    /// SG0435: an `[[ignore]]` matches no resource.
    IgnoreUnused,
    /// SG0436: an object in Azure is not in its final state.
    OperationPending,
    /// SG0437: the deployment is in another subscription.
    OtherSubscription,
    /// SG0438: workers exchange addresses, more of them than the rollout permits.
    AddressExchange,
    /// SG0439: a new part of the topology lies behind a route that `[[ignore]]` leaves out.
    IgnoredRoute,
    /// SG0440: another object would get a range or an address that `[[ignore]]` keeps.
    IgnoredConflict,
    /// SG0441: another process holds the lease.
    LeaseHeld,
    /// SG0442: the clock of this machine is wrong.
    ClockSkew,
    /// SG0443: a router does not have the address that the topology gives it.
    RouterAddress,
    /// SG0444: a datacenter would move into the resource group of another one.
    GroupTakeover,
    /// SG0445: others deleted objects while an apply ran.
    DeletedByOthers,
    /// SG0446: an existing cluster has other ranges than the topology.
    ClusterRanges,
    /// SG0451: the cluster is stopped.
    ClusterStopped,
    /// SG0452: workers may not reach the API server.
    ApiServerUnreachable,
    /// SG0465: a route of another owner takes packets of the topology.
    ForeignRoute,
    /// SG0501: an object that the topology does not own has the same name.
    NotOwned,
    /// SG0502: the change is blocked by `protect = true`.
    Protected,
    /// SG0503: a router is offline.
    RouterOffline,
    /// SG0504: the plan is stale.
    StalePlan,
    /// SG0505: the saved plan is damaged.
    PlanTruncated,
    /// SG0506: another version of stargate made the saved plan.
    PlanVersion,
    /// SG0507: the saved plan was made from another topology.
    PlanTopology,
    /// SG0508: approval is needed and there is no terminal.
    ApprovalNeeded,
    /// SG0509: the apply makes no progress.
    NoProgress,
    /// SG0510: the resource group holds foreign objects.
    GroupHasForeignObjects,
    /// SG0511: a step failed.
    StepFailed,
    /// SG0512: the plan was applied in part.
    PartlyApplied,
    /// SG0513: the plan would break reachability between pods.
    ReachabilityLost,
    /// SG0514: the rollout stopped because workers failed.
    RolloutStopped,
    /// SG0515: the worker cannot be repaved or rebooted now.
    WorkerOperationBlocked,
    /// SG0516: the topology has no such worker.
    UnknownWorker,
    /// SG0517: the Node must be replaced.
    NodeMustBeReplaced,
    /// SG0518: a certificate request was not approved.
    CertificateRefused,
    /// SG0519: a step ran without the expected effect.
    StepNotVerified,
    /// SG0520: a step waited too long.
    StepTimedOut,
    /// SG0521: a worker could not be drained.
    DrainBlocked,
    /// SG0522: the apply lost its lease.
    LeaseLost,
    /// SG0523: the change needs a replacement that was not requested.
    ReplacementNotRequested,
    /// SG0524: another topology owns the object.
    OwnedByOtherTopology,
    /// SG0525: an option names an unknown resource or topology that the plan knows.
    UnknownAddress,
    /// SG0530: the signature of the saved plan does not verify.
    PlanSignature,
    /// SG0531: the saved plan names objects outside the topology.
    PlanOutOfScope,
    /// SG0532: an unsigned plan needs a permission.
    PlanPermission,
    /// SG0601: no Azure credentials were found.
    AzureCredentialsMissing,
    /// SG0602: Azure refused the credentials.
    AzureRefused,
    /// SG0603: no Tailscale credentials were found.
    TailscaleCredentialsMissing,
    /// SG0604: Tailscale refused the credentials.
    TailscaleRefused,
    /// SG0605: no kubeconfig for the cluster.
    KubeconfigMissing,
    /// SG0606: a service answered with an error.
    RequestError,
    /// SG0607: a service limits the request rate.
    Throttled,
    /// SG0608: a host's key has changed.
    HostKeyChanged,
    /// SG0609: a host's key cannot be trusted.
    HostKeyUntrusted,
    /// SG0610: a host does not accept the login.
    LoginRefused,
    /// SG0611: a host of another name answers.
    WrongHost,
    /// SG0612: a foreign kernel route conflicts with a router's route.
    ForeignKernelRoute,
    /// SG0613: Goldpinger is not running.
    GoldpingerMissing,
    /// SG0614: the credentials do not permit queries to Goldpinger.
    GoldpingerRefused,
    /// SG0615: Goldpinger's answer cannot be used.
    GoldpingerUnusable,
    /// SG0616: the services could not be read.
    ServiceUnreadable,
    /// SG0617: a service could not be reached.
    ServiceUnreachable,
    /// SG0618: a service has a fault of its own.
    ServiceUnavailable,
    /// SG0619: a service answered with something unexpected.
    UnexpectedResponse,
    /// SG0620: a service rejected a request as invalid.
    InvalidRequest,
    /// SG0621: an object does not exist.
    ObjectMissing,
    /// SG0622: a request conflicts with the state of an object.
    Conflict,
    /// SG0623: an object changed after it was read.
    ChangedSinceRead,
    /// SG0624: another operation is in progress.
    OperationInProgress,
    /// SG0625: an object is still in use.
    ObjectInUse,
    /// SG0626: a management lock forbids the change.
    ManagementLock,
    /// SG0627: Azure Policy forbids the change.
    PolicyDenied,
    /// SG0628: a deny assignment forbids the change.
    DenyAssignment,
    /// SG0629: a resource provider is not registered.
    ProviderNotRegistered,
    /// SG0630: a quota is used up.
    QuotaExceeded,
    /// SG0631: the VM size is not available.
    SkuUnavailable,
    /// SG0632: the subscription cannot be used.
    SubscriptionUnusable,
    /// SG0633: AKS does not support the Kubernetes version.
    VersionUnsupported,
    /// SG0634: the Kubernetes API server refused the credentials.
    ClusterRefused,
    /// SG0635: an admission webhook refused the request.
    AdmissionRefused,
    /// SG0636: another field manager owns a field.
    FieldConflict,
    /// SG0637: a host cannot be reached by SSH.
    HostUnreachable,
    /// SG0638: the connection to a host broke.
    ConnectionLost,
    /// SG0639: a command failed on a host.
    HostCommandFailed,
    /// SG0640: an operation ended in failure.
    OperationFailed,
    /// SG0641: an object could not be understood.
    ObjectUnreadable,
    /// SG0701: the sandbox's folder is damaged.
    SandboxDamaged,
    /// SG0702: the sandbox's folder is in use.
    SandboxInUse,
    /// SG0703: there is no such fault.
    UnknownFault,
    /// SG0704: the sandbox has no such target.
    UnknownTarget,
}

/// The entries of each file, in the order of the enum.
const GROUPS: [&[Entry]; 8] = [
    file::ENTRIES,
    names::ENTRIES,
    addresses::ENTRIES,
    preflight::ENTRIES,
    apply::ENTRIES,
    services::ENTRIES,
    refusals::ENTRIES,
    sandbox::ENTRIES,
];

#[cfg(test)]
mod tests;
