//! SG03xx: addresses.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::InvalidCidr,
        text: "SG0301",
        title: "not an IPv4 prefix",
        explanation: "A prefix is an IPv4 address, a slash, and a length from 0 to 32, as in \
                      `10.50.0.0/16`. IPv6 is not supported. All routes are derived from \
                      prefixes, so an invalid one is not corrected automatically.",
    },
    Entry {
        code: Code::HostBits,
        text: "SG0302",
        title: "the prefix has bits set beyond its length",
        explanation: "The address part of a prefix must be the first address of the range: `10.50.1.0/24` \
                      and not `10.50.1.7/24`. Azure refuses the second, and it often hides a wrong length. \
                      The remedy shows the prefix that contains the address; check that it is the one you \
                      mean.",
    },
    Entry {
        code: Code::Overlap,
        text: "SG0303",
        title: "two networks overlap",
        explanation: "Every prefix in the network must be unique. If two prefixes share \
                      addresses, a router sends their packets to only one of the networks, and \
                      the other one loses them without an error. Overlaps are reported in either \
                      direction: the larger contains the smaller or the reverse. Change one of \
                      the two prefixes.",
    },
    Entry {
        code: Code::RefusedRange,
        text: "SG0304",
        title: "AKS refuses the range",
        explanation: "AKS and Azure keep 169.254.0.0/16, 172.30.0.0/16, 172.31.0.0/16 and \
                      192.0.2.0/24 for themselves. Clusters whose pods or services overlap them \
                      cannot be created or lose traffic. Choose another private range.",
    },
    Entry {
        code: Code::TailnetRange,
        text: "SG0305",
        title: "the range belongs to Tailscale",
        explanation: "100.64.0.0/10 holds the addresses of the tailnet's own devices. A network \
                      within it, or around it, would capture the traffic between the routers. \
                      Choose a range of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16.",
    },
    Entry {
        code: Code::InvalidAddress,
        text: "SG0306",
        title: "not an IPv4 address",
        explanation: "An address is four numbers from 0 to 255 with dots, as in `10.50.1.5`, without a \
                      prefix length. IPv6 is not supported. The address is given to the machine as it is \
                      written, so it must be complete.",
    },
    Entry {
        code: Code::AddressOutsideSubnet,
        text: "SG0307",
        title: "the address is outside its subnet",
        explanation: "A machine's address must lie in the subnet that its network card is in: the \
                      workers' `subnet_cidr` in Azure, `network_cidr` for machines that exist \
                      already. Azure refuses any other address, and elsewhere the machine would \
                      be unreachable. Correct the address or the subnet.",
    },
    Entry {
        code: Code::ReservedAddress,
        text: "SG0308",
        title: "the address is reserved",
        explanation: "Azure keeps the first four addresses and the last one of every subnet for itself, \
                      and the router takes the fifth (`.4`) of its own. Elsewhere the first and the last \
                      address of a network are the network and the broadcast. Choose another address.",
    },
    Entry {
        code: Code::DuplicateAddress,
        text: "SG0309",
        title: "the address is already in use",
        explanation: "Two machines cannot have one address in one network. The second one would fail to be \
                      created, or both would answer in turn. Give one of them another address, or leave \
                      `ip` out in Azure and let stargate choose.",
    },
    Entry {
        code: Code::DuplicateMac,
        text: "SG0310",
        title: "the hardware address is already in use",
        explanation: "A hardware address names one machine. Two entries with the same one usually \
                      describe one machine twice, or contain a copied line. Correct one of them.",
    },
    Entry {
        code: Code::DuplicatePodCidr,
        text: "SG0311",
        title: "the pod CIDR is already in use",
        explanation: "A pod CIDR is routed to exactly one worker. If two workers assign the same \
                      addresses, half of the connections reach the wrong machine. Give one of \
                      them another pod CIDR, or leave `pod_cidr` out and let stargate choose.",
    },
    Entry {
        code: Code::PodRangeOutsideCluster,
        text: "SG0312",
        title: "the prefix is outside the cluster's pod CIDR",
        explanation: "Pods on workers must have addresses of the cluster's `pod_cidr`: AKS nodes \
                      and Cilium treat only these addresses as pods, and all others as external. \
                      Move the pool or pod CIDR into it, or choose a larger `pod_cidr` when the \
                      cluster is created; it cannot be changed later.",
    },
    Entry {
        code: Code::PodCidrOutsidePool,
        text: "SG0313",
        title: "the pod CIDR is outside the datacenter's pool",
        explanation: "This works, but pools keep the route tables small: a worker outside of its \
                      pool needs a route of its own in `stargate-workers-rt` and in every router. \
                      Move the pod CIDR into the pool unless it has to stay where it is.",
    },
    Entry {
        code: Code::PodCidrTooSmall,
        text: "SG0314",
        title: "the cluster's pod CIDR is too small",
        explanation: "Every AKS node takes a /24 of the pod CIDR and every worker its own prefix; \
                      a /16 holds 256 of them together. Once it is full, new nodes get no pod \
                      addresses. The range cannot be changed after the cluster was created, so \
                      size it for the largest number of nodes that you expect.",
    },
    Entry {
        code: Code::PoolTooSmall,
        text: "SG0315",
        title: "the pool is too small for its workers",
        explanation: "Each worker without a written `pod_cidr` gets the next free prefix of the pool, and \
                      there are fewer prefixes than workers. Choose a larger pool or a longer \
                      `pod_prefix_length`. A pool that leaves room to grow saves moving it later, which \
                      replaces every node.",
    },
    Entry {
        code: Code::PoolOverlapsAksRange,
        text: "SG0316",
        title: "AKS nodes will use addresses of the pool",
        explanation: "AKS assigns /24s to its own nodes from the start of the pod CIDR. A pool or \
                      pod CIDR that starts below the maximum number of AKS nodes is assigned a \
                      second time when the cluster grows, and both nodes lose traffic. Start \
                      pools higher.",
    },
    Entry {
        code: Code::PoolNearAksRange,
        text: "SG0317",
        title: "AKS nodes may use addresses of the pool",
        explanation: "During upgrades and after nodes were replaced, AKS has assigned more /24s \
                      than it has nodes, up to about twice the maximum number of nodes. Start \
                      pools higher if the pod CIDR has room.",
    },
    Entry {
        code: Code::PodPrefixLength,
        text: "SG0318",
        title: "invalid length of a pod prefix",
        explanation: "A worker's pod CIDR is between /20 and /26 and smaller than the pool that it comes \
                      from, and all written ones of a datacenter have the datacenter's \
                      `pod_prefix_length`. With prefixes of mixed lengths, the free slots of a pool are \
                      ambiguous. Change the length or the prefix.",
    },
    Entry {
        code: Code::MissingPool,
        text: "SG0319",
        title: "workers without a pod CIDR need a pool",
        explanation: "A worker's pod CIDR is either written or taken from the datacenter's \
                      `pod_pool`, and the file has neither. Add `pod_pool` to the datacenter, \
                      which also keeps the route tables small, or write `pod_cidr` at each \
                      worker.",
    },
    Entry {
        code: Code::SubnetOutsideNetwork,
        text: "SG0320",
        title: "the subnet is outside its VNet",
        explanation: "A subnet's prefix must be within its VNet's address space; Azure rejects \
                      other prefixes. Correct `subnet_cidr` or `router_subnet_cidr`, or make \
                      `vnet_cidr` larger.",
    },
    Entry {
        code: Code::RouterSubnetOutsideVnet,
        text: "SG0321",
        title: "the router's subnet is outside the AKS VNet",
        explanation: "AKS creates its VNet with 10.224.0.0/12 and the nodes' subnet 10.224.0.0/16 in it. \
                      The cluster's router gets a subnet of its own in that VNet, so it must lie in the \
                      first and outside of the second, such as 10.237.0.0/24.",
    },
    Entry {
        code: Code::TooManyRoutes,
        text: "SG0322",
        title: "a route table would hold too many routes",
        explanation: "A route table in Azure holds at most 400 routes. A pool needs one route for \
                      all of its workers, a worker outside of a pool one for itself, and an AKS \
                      node one each in the router's table. Use pools, or split the site into \
                      several.",
    },
    Entry {
        code: Code::TooManyNodes,
        text: "SG0323",
        title: "the cluster would have too many nodes",
        explanation: "AKS supports at most 5,000 nodes in a cluster, and workers count, too. The \
                      maximum sizes of all node pools and the number of workers exceed that \
                      together. Split the topology into several clusters.",
    },
    Entry {
        code: Code::SubnetTooSmall,
        text: "SG0324",
        title: "the subnet is too small",
        explanation: "Azure takes subnets from /2 to /29 and keeps five addresses of each. The rest must \
                      hold every machine of the subnet: the workers in theirs, the router in its own. \
                      Choose a shorter prefix length.",
    },
];
