//! The findings about each fault that precedes an apply, written by hand.

use stargate::diagnostics::Code;
use stargate::sandbox::faults::Fault;

/// The finding about a fault that precedes an apply.
pub(super) struct Expected {
    pub(super) fault: Fault,
    pub(super) target: &'static str,
    /// The check, its code, and words of its message and of its remedy.
    pub(super) check: &'static str,
    pub(super) code: Code,
    pub(super) words: [&'static str; 2],
}

const fn expected(
    fault: Fault,
    target: &'static str,
    (check, code): (&'static str, Code),
    words: [&'static str; 2],
) -> Expected {
    Expected { fault, target, check, code, words }
}

pub(super) const EXPECTED: &[Expected] = &[
    expected(
        Fault::AzureActionMissing,
        "Microsoft.Network/routeTables/write",
        ("permissions", Code::AzureRefused),
        ["lacks Microsoft.Network/routeTables/write on /subscriptions/", "--role 'Contributor'"],
    ),
    expected(
        Fault::AzureActionMissing,
        "Microsoft.Resources/subscriptions/resourceGroups/write",
        ("permissions", Code::AzureRefused),
        ["lacks Microsoft.Resources/subscriptions/resourceGroups/write", "az role assignment"],
    ),
    expected(
        Fault::AzureActionMissing,
        "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
        ("permissions", Code::AzureRefused),
        ["listClusterUserCredential/action", "Azure Kubernetes Service Contributor Role"],
    ),
    expected(
        Fault::ProviderUnregistered,
        "Microsoft.ContainerService",
        ("providers", Code::ProviderNotRegistered),
        [
            "Microsoft.ContainerService is NotRegistered",
            "az provider register --namespace Microsoft.ContainerService --wait",
        ],
    ),
    expected(
        Fault::QuotaExhausted,
        "cores",
        ("cores", Code::QuotaExceeded),
        ["Total Regional vCPUs in canadacentral is 0 with 0 in use", "quota of at least 12"],
    ),
    expected(
        Fault::QuotaExhausted,
        "standardDSv5Family",
        ("cores", Code::QuotaExceeded),
        ["needs 8 more vCPUs", "Standard DSv5 Family vCPUs"],
    ),
    expected(
        Fault::QuotaExhausted,
        "StandardSkuPublicIpAddresses",
        ("public-ips", Code::QuotaExceeded),
        ["needs 4 more addresses", "az network list-usages --location canadacentral"],
    ),
    expected(
        Fault::SizeRestricted,
        "Standard_D2s_v5",
        ("vm-sizes", Code::SkuUnavailable),
        ["Standard_D2s_v5 may not be used by the subscription", "az vm list-skus"],
    ),
    expected(
        Fault::VersionEnded,
        "1.33",
        ("kubernetes-version", Code::VersionUnsupported),
        ["AKS does not offer Kubernetes 1.33 in canadacentral", "to \"1.38\""],
    ),
    expected(
        Fault::VersionLongTermOnly,
        "1.33",
        ("kubernetes-version", Code::VersionUnsupported),
        ["only with another support plan", "support_plan = \"AKSLongTermSupport\""],
    ),
    expected(
        Fault::PolicyDenies,
        "public-ips",
        ("policies", Code::PolicyDenied),
        ["`Network interfaces should not have public IPs` denies", "deny-public-ips"],
    ),
    expected(
        Fault::PolicyDenies,
        "ip-forwarding",
        ("policies", Code::PolicyDenied),
        ["`Network interfaces should disable IP forwarding` denies", "deny-ip-forwarding"],
    ),
    expected(
        Fault::PolicyDenies,
        "locations",
        ("policies", Code::PolicyDenied),
        ["`Allowed locations` denies managed-cluster/", "az policy exemption create"],
    ),
    expected(
        Fault::PolicyDenies,
        "sizes",
        ("policies", Code::PolicyDenied),
        ["`Allowed virtual machine size SKUs` denies virtual-machine/", "deny-sizes"],
    ),
    expected(
        Fault::ManagementLock,
        "subscription",
        ("locks", Code::ManagementLock),
        ["the lock landing-zone makes /subscriptions/", "az lock delete --ids '/subscriptions/"],
    ),
    expected(
        Fault::TagUnowned,
        "tag:stargate-stargate-aks-e2e-2",
        ("tag-owners", Code::TagOwnersMissing),
        ["no owner for tag:stargate-stargate-aks-e2e-2", "tagOwners"],
    ),
    expected(
        Fault::TailnetScopeMissing,
        "auth_keys",
        ("scopes", Code::TailscaleRefused),
        ["auth keys cannot be read", "auth_keys"],
    ),
    expected(
        Fault::TailnetScopeMissing,
        "devices:core",
        ("access", Code::TailscaleRefused),
        ["GET devices of the tailnet", "devices:core"],
    ),
    expected(
        Fault::ClockSkew,
        "",
        ("clock", Code::ClockSkew),
        ["is 10 min behind that of", "timedatectl"],
    ),
    expected(Fault::SourceDown, "azure", ("access", Code::ServiceUnavailable), ["503", ""]),
];

/// Faults of existing machines, which the example does not have.
pub(super) const EXPECTED_OF_HOSTS: &[Expected] = &[
    expected(
        Fault::LoginRefused,
        "campus-router",
        ("ssh", Code::LoginRefused),
        ["campus-router does not accept the login", "campus-router"],
    ),
    expected(
        Fault::SudoPassword,
        "campus-router",
        ("ssh", Code::HostCommandFailed),
        ["sudo failed on campus-router", "NOPASSWD"],
    ),
];
