//! SG04xx: checks of the live state.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::LiveSubnetOverlap,
        text: "SG0401",
        title: "the router's subnet overlaps a live subnet of AKS",
        explanation: "The AKS VNet has, or AKS creates with a new cluster, a subnet that overlaps the \
                      one that the topology asks for, and Azure does not accept overlapping subnets. \
                      The label shows the desired subnet, the \
                      message the live one. Choose a free range of the VNet for \
                      `cluster.router.subnet_cidr`.",
    },
    Entry {
        code: Code::LivePodOverlap,
        text: "SG0402",
        title: "a worker's pod CIDR overlaps that of a live AKS node",
        explanation: "AKS has already assigned addresses of this range to one of its own nodes, \
                      and packets would reach only one of the two. stargate applies nothing until \
                      the ranges are disjoint. Move the worker's pod CIDR or the pool to a higher \
                      range of the cluster's pod CIDR.",
    },
    Entry {
        code: Code::ForeignRouteTable,
        text: "SG0403",
        title: "a foreign route table is on an AKS subnet",
        explanation: "A subnet has at most one route table, and this subnet has one that the topology does \
                      not own. Replacing it would drop its owner's routes, so stargate leaves it and \
                      cannot write the routes to the workers. Set `route_table = \"existing\"` in \
                      [cluster] to write them into the owner's table, beside its own routes. Or ask \
                      its owner to detach it, or take the association over with `stargate apply \
                      --adopt ADDRESS`: the plan lists the routes that the subnet loses.",
    },
    Entry {
        code: Code::NodeGroupLocked,
        text: "SG0404",
        title: "the node resource group is locked",
        explanation: "The resource group that AKS manages for its nodes has a lock or a deny assignment, \
                      so the router, its subnet and the route tables cannot be created there. Remove the \
                      lock, or create the cluster with a node resource group that is not restricted.",
    },
    Entry {
        code: Code::PrivateApiServer,
        text: "SG0405",
        title: "the API server is private",
        explanation: "The cluster's API server has only a private address, and workers outside the VNet \
                      cannot reach it over the internet, so they could not join. Open the API server to \
                      authorised ranges, or run stargate and the workers where the private address is \
                      reachable.",
    },
    Entry {
        code: Code::TagOwnersMissing,
        text: "SG0406",
        title: "the tailnet's policy has no owner for the tag",
        explanation: "A device can have a tag only if the tailnet's policy names an owner for it under \
                      `tagOwners`. Without one, Tailscale does not create auth keys for the routers. Add \
                      the line in the remedy to the policy in the admin console.",
    },
    Entry {
        code: Code::PrefixConflict,
        text: "SG0407",
        title: "two devices of the tailnet advertise the same prefix",
        explanation: "Another device has an approved route that overlaps one of this topology's. Tailscale \
                      selects one of the two, and packets may go to the other device. Withdraw the other \
                      device's route, or move the range in the topology.",
    },
    Entry {
        code: Code::LiveVersionSkew,
        text: "SG0408",
        title: "the kubelet's version does not fit the live API server",
        explanation: "The live API server has another version than the topology says, and the kubelet of a \
                      profile is newer, or more than three minor versions older. The remedy names the \
                      edit; profiles and workers are not changed until then. A kubelet of a newer \
                      patch is a warning.",
    },
    Entry {
        code: Code::SourceGap,
        text: "SG0409",
        title: "a source could not be read",
        explanation: "A source of the plan could not be read; the message has the reason. Its \
                      objects are unknown, so stargate plans no deletion of them and blocks the \
                      changes that depend on them. Correct the cause and run `stargate plan` \
                      again.",
    },
    Entry {
        code: Code::ClusterUnsupported,
        text: "SG0410",
        title: "the cluster's network settings do not fit",
        explanation: "Workers outside Azure need Azure CNI in overlay mode with the Cilium data \
                      plane: only there do pods have a CIDR of their own that routers can \
                      advertise. The live cluster has other settings, and most of them cannot be \
                      changed later. Create a cluster with these settings, or let stargate create \
                      one.",
    },
    Entry {
        code: Code::KubeconfigServer,
        text: "SG0411",
        title: "the kubeconfig is of another cluster",
        explanation: "The server in the credentials is not the cluster's own FQDN, and applying would \
                      write one cluster's nodes into another. Unset `KUBECONFIG` to use the credentials \
                      that Azure returns, or select the right context with `kubectl config use-context`.",
    },
    Entry {
        code: Code::ExistingClusterMissing,
        text: "SG0412",
        title: "the existing cluster was not found",
        explanation: "`existing = true` says that the cluster exists, and Azure has no cluster of that \
                      name in the resource group and subscription. Correct the name, the resource group or \
                      the subscription, or remove `existing` to create the cluster.",
    },
    Entry {
        code: Code::RouterKeyExpiry,
        text: "SG0421",
        title: "the node key of a router expires",
        explanation: "A device whose node key has expired is disconnected from the tailnet until \
                      it logs in again, and everything behind the router is unreachable until \
                      then. Tailscale disables key expiry for tagged devices, and it was enabled \
                      later for this one. stargate disables it again if its credentials permit \
                      that.",
    },
    Entry {
        code: Code::ForeignHostRouting,
        text: "SG0422",
        title: "a routing rule of others captures packets of the topology",
        explanation: "A host has a routing rule that another program set, and its table has \
                      routes for prefixes of the topology. The kernel evaluates it before table \
                      main, so packets bypass the topology's routes. tailscaled on a worker adds \
                      such a rule if it accepts routes. Follow the remedy on the host.",
    },
    Entry {
        code: Code::RouterTailscaleState,
        text: "SG0423",
        title: "a Tailscale setting prevents a router from forwarding",
        explanation: "A router uses an exit node, refuses connections from the tailnet, or is locked out by \
                      tailnet lock. An administrator may have set this on purpose, so stargate reports it \
                      and does not change it. The remedy has the command.",
    },
    Entry {
        code: Code::UnknownNode,
        text: "SG0424",
        title: "a Node is neither AKS's nor a worker of the topology",
        explanation: "The cluster has a Node that AKS did not create and that is no worker of the topology. \
                      stargate makes no routes to its pods, so that they may be unreachable from the \
                      datacenters. Add it to the topology as a worker, or delete the Node if its machine is \
                      gone.",
    },
    Entry {
        code: Code::IgnoreExpired,
        text: "SG0430",
        title: "an `[[ignore]]` has expired",
        explanation: "The day in `until` of the block has passed, so the drift is planned and corrected \
                      again. Find out whether the field is still set by others. Remove the block, or \
                      extend `until`.",
    },
    Entry {
        code: Code::KubernetesDowngrade,
        text: "SG0431",
        title: "the topology names an older Kubernetes version than the live one",
        explanation: "Neither AKS nor a kubelet goes back to an older version. AKS may have upgraded the \
                      cluster by itself, or the topology was edited. stargate leaves the version as it is \
                      and changes the rest. Write the live version into the topology, or its minor \
                      version, which any patch satisfies.",
    },
    Entry {
        code: Code::KubernetesMinorSkipped,
        text: "SG0432",
        title: "the upgrade would skip a minor version of Kubernetes",
        explanation: "A control plane is upgraded one minor version at a time, and AKS refuses \
                      anything else. Set `kubernetes_version` to the next minor version in the \
                      cluster and in the profiles, apply, then continue with the version after \
                      it.",
    },
    Entry {
        code: Code::ForeignNodePool,
        text: "SG0433",
        title: "the cluster has a node pool that the topology does not own",
        explanation: "The pool has no tag `stargate-pool` of this topology: another program or person \
                      created it. stargate neither changes nor deletes it, and its nodes get routes as all \
                      nodes of AKS do. To manage it, add `[cluster.node_pools.<name>]` and run \
                      `stargate apply --adopt ADDRESS`.",
    },
    Entry {
        code: Code::NodePoolNotReplaceable,
        text: "SG0434",
        title: "the key of a node pool is too long to name a successor",
        explanation: "AKS cannot change the VM size, the zones, the disk size or the maximum \
                      number of pods of a pool. A new pool, whose name is the key plus one \
                      letter, replaces it. Names of pools have at most 12 characters, so a key of \
                      12 leaves no room for the letter. Give the pool another key: the new pool \
                      is created before the old one is deleted.",
    },
    Entry {
        code: Code::IgnoreUnused,
        text: "SG0435",
        title: "an `[[ignore]]` has no effect",
        explanation: "No resource of the topology has an address that the block's pattern \
                      matches, no resource with such an address has the field, or the live value \
                      cannot replace the desired one. The address or the field is misspelt, or \
                      the resource left the topology; drift of the field is planned and \
                      corrected. Correct the block as `stargate plan` and `stargate drift` print \
                      addresses and fields, or remove it. An object that another topology owns, \
                      the record of a protection, and pairs that are broken are never ignored.",
    },
    Entry {
        code: Code::OperationPending,
        text: "SG0436",
        title: "an object in Azure is not in its final state",
        explanation: "The object's `provisioningState` is not `Succeeded`: Azure is still \
                      creating, updating or deleting it, or its last operation failed. stargate \
                      counts it as existing, with the fields that Azure returned, and an apply \
                      waits for a running operation before it changes the object. After a failed \
                      operation the object may not work although its fields are right: the \
                      activity log of Azure shows the reason.",
    },
    Entry {
        code: Code::OtherSubscription,
        text: "SG0437",
        title: "the deployment is in another subscription",
        explanation: "The subscription has no object of the topology, and routers of the topology are \
                      connected to the tailnet, so that they run in another subscription. Azure cannot \
                      move an AKS cluster, and a second deployment would serve the same prefixes. Set \
                      `[azure] subscription` or AZURE_SUBSCRIPTION_ID to the subscription of the \
                      deployment. To move it, run `stargate destroy` there, then change the \
                      subscription and apply.",
    },
    Entry {
        code: Code::AddressExchange,
        text: "SG0438",
        title: "workers exchange addresses or pod CIDRs",
        explanation: "An address of a subnet and a pod CIDR have one holder at a time. Workers \
                      that take each other's in a cycle must all be deleted before one of them \
                      can be created again, so all of them are disturbed at the same time. \
                      `[rollout] width` says how many workers of a datacenter may be. Break the \
                      cycle: give one worker an address and a pod CIDR that no other worker has, \
                      apply, then give it the intended ones and apply again. Or set `width` to \
                      the number of workers of the cycle. Workers that shift in a chain need \
                      neither: the last one changes first, and those that take over its pod CIDR \
                      follow in later iterations of the same apply. Of very many workers, the \
                      plan shows the first iterations only, and says so.",
    },
    Entry {
        code: Code::IgnoredRoute,
        text: "SG0439",
        title: "an `[[ignore]]` withholds a route to a new datacenter or worker",
        explanation: "An ignored field keeps its live value, so an apply adds nothing to it. A \
                      new datacenter or worker without a route there would be unreachable, so \
                      none of its resources are created. Remove the block, or limit `field` to \
                      the routes that something else manages, as in `routes[10.0.0.0/8]`.",
    },
    Entry {
        code: Code::IgnoredConflict,
        text: "SG0440",
        title: "an `[[ignore]]` keeps a range or address that another object would get",
        explanation: "An ignored field keeps its live value. Here that value is an address, a \
                      pod CIDR or a prefix that the topology gives to another object, so both \
                      would have it, and packets would reach the wrong one. Nothing is changed. \
                      Remove the block, so that the first object gives the value up, or give the \
                      other object one that nothing has.",
    },
    Entry {
        code: Code::LeaseHeld,
        text: "SG0441",
        title: "another process holds the lease",
        explanation: "The process that makes changes to a topology holds the Lease \
                      `stargate-write-<topology>` in `kube-system`. A second one waits until \
                      the Lease is released, and then plans again from the new state. The \
                      Lease of a process that was killed expires after a minute.",
    },
    Entry {
        code: Code::ClockSkew,
        text: "SG0442",
        title: "the clock of this machine is wrong",
        explanation: "The clock of this machine differs from that of a service. Azure refuses \
                      tokens if the clocks differ by more than five minutes, and bootstrap \
                      tokens and auth keys are valid for an hour at most. Synchronise the \
                      clock, for example with `timedatectl set-ntp true`.",
    },
    Entry {
        code: Code::RouterAddress,
        text: "SG0443",
        title: "a router does not have the address that the topology gives it",
        explanation: "The workers of a datacenter of existing machines send their packets to the `ip` of \
                      its router, and the interfaces of that machine have another address. Nothing \
                      behind the router would be reached, so stargate does not change the router \
                      or its workers until the two agree. Set `ip` to the address in the message, or \
                      give the machine the address of the topology.",
    },
    Entry {
        code: Code::GroupTakeover,
        text: "SG0444",
        title: "a datacenter would move into the resource group of another one",
        explanation: "The topology gives a datacenter, or the cluster, a resource group in which the \
                      machines of another part of the topology are. Its network would be replaced \
                      while they use it, and both would be down. stargate changes nothing until each \
                      has a group of its own: move one of them to a group with a new name first, with \
                      `--replace` and `--allow-loss`, and the other one in the next apply.",
    },
    Entry {
        code: Code::DeletedByOthers,
        text: "SG0445",
        title: "others deleted objects while an apply ran",
        explanation: "A person, AKS, a policy, another program, or a `destroy --no-lease` deleted \
                      objects that the apply needs. What the apply created itself while it held the \
                      Lease, it creates once more, with this warning; otherwise it ends, because \
                      the deletion may be intended. The activity log of Azure and the audit log of the \
                      cluster show who deleted them.",
    },
    Entry {
        code: Code::ClusterRanges,
        text: "SG0446",
        title: "an existing cluster has other ranges than the topology",
        explanation: "The topology repeats `pod_cidr` and `service_cidr` of a cluster that \
                      stargate did not create. Routes, firewall rules and the search for overlaps \
                      use these values: with others, packets of pods would be dropped although \
                      everything matches the topology. AKS cannot change the ranges of a cluster; \
                      correct the topology.",
    },
    Entry {
        code: Code::ClusterStopped,
        text: "SG0451",
        title: "the cluster is stopped",
        explanation: "A stopped AKS cluster keeps its settings and has neither nodes nor an API server, so \
                      that nothing in it can be read or changed. Start it with `az aks start \
                      --resource-group GROUP --name CLUSTER`, then run the same command again.",
    },
    Entry {
        code: Code::ApiServerUnreachable,
        text: "SG0452",
        title: "workers may not reach the API server",
        explanation: "The API server has authorized IP ranges, or a private address. Workers connect to it \
                      from the address of their datacenter's NAT gateway or internet access, which must be \
                      in the ranges: `az aks update --api-server-authorized-ip-ranges` replaces the whole \
                      list. A private address is reached through the routers if it is in a subnet of AKS \
                      nodes.",
    },
    Entry {
        code: Code::ForeignRoute,
        text: "SG0465",
        title: "a route of another owner takes packets of the topology",
        explanation: "With `route_table = \"existing\"` the routes of the topology are in a table that \
                      others own. Azure sends a packet by the most specific route and permits one \
                      route for a destination in a table: a route of the owner to the same \
                      destination, or to a part of it, sends packets elsewhere than to the router of \
                      AKS. Ask the owner to remove the route, or to give it the router as its next \
                      hop.",
    },
];
