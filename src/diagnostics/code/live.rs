//! SG04xx: what the live world shows.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::LiveSubnetOverlap,
        text: "SG0401",
        title: "the router's subnet overlaps a live subnet of AKS",
        explanation: "The AKS VNet holds a subnet that shares addresses with the one that the topology \
                      wants for the router. Azure refuses overlapping subnets. The label shows the wish, \
                      and the message the live subnet; choose a free range of the VNet for \
                      `cluster.router.subnet_cidr`.",
    },
    Entry {
        code: Code::LivePodOverlap,
        text: "SG0402",
        title: "a worker's pod CIDR overlaps that of a live AKS node",
        explanation: "AKS has already given addresses of this range to one of its own nodes. Both would \
                      answer for the same pods, so nothing is applied to that worker. Move the worker's \
                      pod CIDR or the pool further up in the cluster's pod CIDR.",
    },
    Entry {
        code: Code::ForeignRouteTable,
        text: "SG0403",
        title: "a foreign route table is on an AKS subnet",
        explanation: "A subnet has at most one route table, and this one's carries another owner's mark. \
                      Replacing it would cut whatever its owner routes, so it is left alone and the routes \
                      to the workers cannot be written. Detach it, or have its owner add the routes.",
    },
    Entry {
        code: Code::NodeGroupLocked,
        text: "SG0404",
        title: "the node resource group is locked",
        explanation: "The resource group in which AKS keeps its nodes has a lock or a deny assignment, so \
                      the router, its subnet and the route tables cannot be made there. Remove the lock, \
                      or create the cluster with a node resource group that is not restricted.",
    },
    Entry {
        code: Code::PrivateApiServer,
        text: "SG0405",
        title: "the API server is private",
        explanation: "The cluster's API server has only a private address, and neither this machine nor \
                      the workers can reach it over the internet. Workers could not join. Open the API \
                      server to authorised ranges, or run stargate where the private address is reachable.",
    },
    Entry {
        code: Code::TagOwnersMissing,
        text: "SG0406",
        title: "the tailnet's policy has no owner for the tag",
        explanation: "A device can carry a tag only if the tailnet's policy names an owner for it under \
                      `tagOwners`. Without one, no auth key for the routers can be made. Add the line of \
                      the remedy to the policy in the admin console.",
    },
    Entry {
        code: Code::PrefixTwoOwners,
        text: "SG0407",
        title: "two devices of the tailnet serve the same prefix",
        explanation: "Another device has an approved route that overlaps one of ours. Tailscale picks one \
                      of the two, and the traffic may go there. Withdraw the route of the other device, or \
                      move the range in the topology.",
    },
    Entry {
        code: Code::LiveVersionSkew,
        text: "SG0408",
        title: "the kubelet's version does not fit the live server",
        explanation: "The live API server has another version than the file says, and a profile's kubelet \
                      is newer than it or more than three minor versions older. Upgrade the cluster first, \
                      or change the profile; workers are not touched until then.",
    },
    Entry {
        code: Code::SourceGap,
        text: "SG0409",
        title: "a source could not be read",
        explanation: "One of the sources of the plan gave no answer: a missing permission, a network \
                      fault, an API that is not installed. What it would have shown is unknown, so nothing \
                      of it is planned for deletion and what depends on it is held back. Mend the cause \
                      that the message names and plan again.",
    },
    Entry {
        code: Code::ClusterUnfit,
        text: "SG0410",
        title: "the cluster's network settings do not fit",
        explanation: "Workers from elsewhere need Azure CNI in overlay mode with the Cilium dataplane: \
                      only there have pods a range of their own that routers can carry. The live cluster \
                      has other settings, and most cannot be changed later. Create a cluster with them, or \
                      let stargate create one.",
    },
    Entry {
        code: Code::KubeconfigServer,
        text: "SG0411",
        title: "the kubeconfig leads to another cluster",
        explanation: "The server in the credentials is not the cluster's own FQDN. Applying there would \
                      write one cluster's nodes into another. Unset `KUBECONFIG` to use the credentials \
                      that Azure gives, or select the right context.",
    },
    Entry {
        code: Code::ExistingClusterMissing,
        text: "SG0412",
        title: "the existing cluster was not found",
        explanation: "`existing = true` says that the cluster is there already, and Azure has none of that \
                      name in that resource group and subscription. Correct the name, the group or the \
                      subscription, or remove `existing` to have it created.",
    },
];
