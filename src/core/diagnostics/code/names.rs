//! SG02xx: names, duplicates and versions.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::IllegalName,
        text: "SG0201",
        title: "the name is not a legal host or Kubernetes name",
        explanation: "Names of topologies, datacenters, profiles, routers and workers become host \
                      names, Node names, label values and device names. They follow RFC 1123: \
                      lowercase letters, digits and hyphens, a letter or digit at both ends, at \
                      most 63 characters. Kubernetes, Azure or Tailscale would reject other names \
                      in the middle of an apply.",
    },
    Entry {
        code: Code::IllegalAzureName,
        text: "SG0202",
        title: "Azure does not accept the name",
        explanation: "Azure has rules for the names of resource groups, clusters, node pools and \
                      VMs, each with characters and a length of its own. The API rejects other \
                      names. The message names the rule; choose a name that follows it.",
    },
    Entry {
        code: Code::DuplicateName,
        text: "SG0203",
        title: "the name is already in use",
        explanation: "Workers and routers share one namespace, because a name is at once a Node, \
                      a VM and a device in the tailnet; resource groups must differ too, since a \
                      datacenter's group is deleted as a whole. Two objects of the same name \
                      would overwrite each other. Rename one of the two.",
    },
    Entry {
        code: Code::UnknownProfile,
        text: "SG0204",
        title: "the profile does not exist",
        explanation: "A datacenter or worker names a profile that the file does not define. The profile \
                      decides the kubelet's version and everything else that is installed, so there is no \
                      default to fall back to. Correct the name, or add `[profiles.<name>]`.",
    },
    Entry {
        code: Code::InvalidVersion,
        text: "SG0205",
        title: "not a usable Kubernetes version",
        explanation: "A version reads like `1.33`, which any of its patches satisfies, or `1.33.5`, \
                      without a `v`, signs or leading zeros, as AKS and Kubernetes write it. The \
                      remedy has the usual spelling.",
    },
    Entry {
        code: Code::VersionSkew,
        text: "SG0206",
        title: "the kubelet's version does not fit the control plane",
        explanation: "Kubernetes supports kubelets that are no newer than the API server and at \
                      most three minor versions older. Other nodes join and then fail in ways \
                      that are hard to diagnose. Change the profile's version, or upgrade the \
                      cluster first.",
    },
    Entry {
        code: Code::IllegalTag,
        text: "SG0207",
        title: "not a legal tailnet tag",
        explanation: "A tag is `tag:`, a letter, then letters, digits and hyphens. Devices with \
                      the tag are owned by the topology, and the tailnet's policy defines the \
                      owners of the tag. Write it as in `tag:stargate-production`.",
    },
    Entry {
        code: Code::IllegalRegion,
        text: "SG0208",
        title: "not the name of an Azure region",
        explanation: "Region names are lowercase letters and digits without blanks, as in \
                      `canadacentral` for \"Canada Central\". Another spelling is refused by \
                      every call. `az account list-locations -o table` lists the names.",
    },
    Entry {
        code: Code::IllegalVmSize,
        text: "SG0209",
        title: "not the name of an Azure VM size",
        explanation: "VM sizes read like `Standard_D2s_v5`: the tier, an underscore, and the \
                      size. A name of another shape is rejected only when the VM is created. `az \
                      vm list-sizes --location <region> -o table` lists those of a region.",
    },
    Entry {
        code: Code::IllegalSubscription,
        text: "SG0210",
        title: "not a subscription id",
        explanation: "A subscription's id is a GUID: 32 hexadecimal digits in groups of 8, 4, 4, \
                      4 and 12. The subscription's display name is not accepted. `az account show \
                      --query id` prints it; or leave the key out and set \
                      `AZURE_SUBSCRIPTION_ID`.",
    },
    Entry {
        code: Code::InvalidMac,
        text: "SG0211",
        title: "not a usable hardware address",
        explanation: "A hardware address is six pairs of hexadecimal digits with colons, as in \
                      `52:54:00:12:34:56`, and belongs to exactly one machine. It identifies the machine \
                      when its address changes. `ip link` on the machine prints it after `link/ether`.",
    },
    Entry {
        code: Code::InvalidHostKey,
        text: "SG0212",
        title: "not a host key",
        explanation: "A pinned host key is either the public key itself, as in `ssh-ed25519 AAAA…`, or its \
                      fingerprint, as in `SHA256:…`. A pin that can never match would lock stargate out of \
                      the host. `ssh-keyscan -t ed25519 <host>` prints the key, without the host's name in \
                      front.",
    },
    Entry {
        code: Code::InvalidLabel,
        text: "SG0213",
        title: "not a legal label or taint",
        explanation: "Kubernetes takes label keys of an optional DNS prefix and a name of at most 63 \
                      characters, and values of at most 63. A taint reads `key=value:Effect` with an \
                      effect of `NoSchedule`, `PreferNoSchedule` or `NoExecute`. A kubelet with an illegal \
                      one does not start. Labels below `kubernetes.io` and `k8s.io` are refused by the API \
                      server, and those below `stargate.io` are stargate's.",
    },
    Entry {
        code: Code::NoWorkers,
        text: "SG0214",
        title: "there are no workers",
        explanation: "The datacenter, or the whole topology, has no worker. That is allowed, and \
                      useful to prepare a site before its machines exist, but often the workers \
                      were forgotten. Add `[[datacenters.<name>.workers]]` or `worker_range`.",
    },
    Entry {
        code: Code::MissingMachineFact,
        text: "SG0215",
        title: "a machine that exists already needs its address",
        explanation: "In a datacenter of kind `existing`, stargate creates no machine and cannot choose \
                      its address: router and workers need `ip`, and workers need `mac`. Without them it \
                      is unknown which machine is meant. Add the key to the machine.",
    },
    Entry {
        code: Code::InvalidSsh,
        text: "SG0216",
        title: "invalid SSH settings",
        explanation: "The login user must be a legal Linux user name, and the public key a path or a key \
                      as in `ssh-ed25519 AAAA…`. With wrong ones, stargate \
                      creates machines that accept no login. The private half of a key never belongs in the topology.",
    },
    Entry {
        code: Code::NoNodePools,
        text: "SG0217",
        title: "the cluster has no node pool",
        explanation: "AKS needs at least one node pool with at least one node for its own system pods; \
                      only a cluster with `existing = true` brings its own. Add \
                      `[cluster.node_pools.<name>]` with `count`, or `min` and `max`, and `vm_size`.",
    },
    Entry {
        code: Code::UnusedProfile,
        text: "SG0218",
        title: "the profile is not used",
        explanation: "No datacenter and no worker names the profile. It does no harm and is not \
                      installed anywhere, but often a `profile` key is missing. Use it or remove \
                      it.",
    },
    Entry {
        code: Code::ReservedName,
        text: "SG0219",
        title: "the name is reserved",
        explanation: "Addresses such as `route-table/cluster/stargate-workers-rt` name the cluster or a \
                      datacenter in their second part. A datacenter named `cluster` would \
                      have the same addresses as the cluster. Rename the datacenter.",
    },
    Entry {
        code: Code::IllegalTailnetName,
        text: "SG0220",
        title: "not the name of a tailnet",
        explanation: "The name becomes a part of the URLs of the Tailscale API, so it can have only \
                      letters, digits and `.@_+-`. The admin console shows it under Settings, General, \
                      such as `example.com`. The default `-` is the tailnet that the credentials belong \
                      to.",
    },
    Entry {
        code: Code::InvalidUrl,
        text: "SG0221",
        title: "not the URL of a service",
        explanation: "Requests to the service carry credentials, so its URL must begin with `https://`; \
                      `http://` is accepted for a loopback address only. It has a host, perhaps with a \
                      port, and neither a user, a path, a query nor a fragment.",
    },
    Entry {
        code: Code::InvalidIgnore,
        text: "SG0230",
        title: "an `[[ignore]]` is not valid",
        explanation: "`address` is KIND/SITE/NAME, where `*` stands for any characters of a part; \
                      `field` is a path as `stargate plan` prints it; `reason` is not empty; `until` is \
                      a date such as 2026-12-31. A block that cannot be understood would ignore too \
                      much or nothing. Correct the value that the label points at.",
    },
    Entry {
        code: Code::NoSystemPool,
        text: "SG0231",
        title: "the cluster has no system node pool",
        explanation: "AKS runs its own pods, such as CoreDNS, on pools of the mode `system`, and refuses to \
                      delete or change the last one. A system pool has at least one node at all times. \
                      Set `mode = \"system\"` in a pool, or leave `mode` out: the first pool in the \
                      file is then a system pool.",
    },
    Entry {
        code: Code::SupportPlanTier,
        text: "SG0232",
        title: "the support plan needs another tier",
        explanation: "AKS supports a minor version of Kubernetes for about a year. With \
                      `support_plan = \"AKSLongTermSupport\"` it does so for two years, in clusters of \
                      the tier `premium` only, and refuses the plan in other tiers. A cluster keeps \
                      its plan if the topology names none. Set `tier = \"premium\"`, or \
                      `support_plan = \"KubernetesOfficial\"`.",
    },
];
