//! SG05xx: plan and apply.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::NotOwned,
        text: "SG0501",
        title: "an object that the topology does not own has the same name",
        explanation: "An object of the desired name exists and is not owned by the topology, or \
                      its ownership mark was removed. stargate never overwrites such an object \
                      and blocks the changes that depend on it. Look at the object; if it is \
                      yours, `stargate apply --adopt ADDRESS` takes it over, otherwise rename one \
                      of the two.",
    },
    Entry {
        code: Code::Protected,
        text: "SG0502",
        title: "the change is blocked by `protect = true`",
        explanation: "The plan would replace or delete a resource that the topology protects. The other \
                      changes are not affected, and the blocked one says why it was planned. Undo the edit \
                      that causes it, or set `protect = false` and apply that first. The protection is \
                      recorded on the objects (the tag `stargate-protect` in Azure, the annotation \
                      `stargate.io/protect` in the cluster), so it holds after its block was removed from \
                      the topology: write the block back with `protect = false`, apply, which removes the \
                      record, and then remove the block. A destroy deletes nothing while a record remains.",
    },
    Entry {
        code: Code::RouterOffline,
        text: "SG0503",
        title: "a router is offline",
        explanation: "The router is not connected to the tailnet, so packets that are routed through it \
                      are dropped and its hosts cannot be reached. Check that the machine runs and that \
                      `tailscale status` on it reports a login; `stargate trace` shows which pods are \
                      affected.",
    },
    Entry {
        code: Code::StalePlan,
        text: "SG0504",
        title: "the plan is stale",
        explanation: "A saved plan is applied only if a new plan contains the same changes, and \
                      every step compares the live state with the plan before it acts. The state \
                      had changed, or the saved plan was edited. A saved plan that is stale \
                      changes nothing; a step that is stale ends with those that depend on it. \
                      Run `stargate plan` again and review the new changes.",
    },
    Entry {
        code: Code::PlanTruncated,
        text: "SG0505",
        title: "the saved plan cannot be read",
        explanation: "The file was not written by `stargate plan --out`, is truncated, or was \
                      edited: its checksum does not match its content, so it is unknown what \
                      was approved. Nothing was applied. Make a new plan with `stargate plan --out \
                      FILE`.",
    },
    Entry {
        code: Code::PlanVersion,
        text: "SG0506",
        title: "another version of stargate made the saved plan",
        explanation: "Only the version that made a plan applies it, because the same step can mean \
                      something else in another version. Nothing was applied. Make a new plan with this \
                      version, or apply with the other one.",
    },
    Entry {
        code: Code::PlanTopology,
        text: "SG0507",
        title: "the saved plan was made from another topology",
        explanation: "The plan was made from another topology file, or the file was edited since. Applying \
                      it would create a state that the file does not describe. Make a new plan, or restore \
                      the file.",
    },
    Entry {
        code: Code::ApprovalNeeded,
        text: "SG0508",
        title: "approval is needed and there is no terminal",
        explanation: "The command asks before it changes anything, which needs a terminal. Pass \
                      `--yes` if the plan was reviewed before. For `stargate apply`, a saved plan \
                      is the alternative: `stargate plan --out FILE`, then `stargate apply \
                      FILE`.",
    },
    Entry {
        code: Code::NoProgress,
        text: "SG0509",
        title: "the apply makes no progress",
        explanation: "A completed change is planned again: another program reverted it, or the \
                      service did not store it. The apply ends instead of repeating it. The \
                      message names the change; check which other tool manages the same object.",
    },
    Entry {
        code: Code::GroupHasForeignObjects,
        text: "SG0510",
        title: "the container has foreign objects",
        explanation: "Deleting a resource group, a virtual network or a namespace deletes everything in \
                      it, deleting a CustomResourceDefinition deletes its objects, and deleting an AKS \
                      cluster deletes its node resource group. This one holds objects that the topology \
                      does not own, so stargate does not delete it. Move the objects, or delete them \
                      yourself if they are not needed, then run the same command again.",
    },
    Entry {
        code: Code::StepFailed,
        text: "SG0511",
        title: "a step failed",
        explanation: "A change was not made, for a reason that has no code of its own; the message states \
                      it. stargate skipped the steps that depend on it and ran all others. Correct \
                      the cause and run `stargate apply` again: it plans only what is left.",
    },
    Entry {
        code: Code::PartlyApplied,
        text: "SG0512",
        title: "the plan was applied in part",
        explanation: "A failure or an interruption prevented some steps from running. Completed \
                      changes stay in place, and the next plan shows exactly what is left. Correct what \
                      failed, then run `stargate apply` again.",
    },
    Entry {
        code: Code::ReachabilityLost,
        text: "SG0513",
        title: "the plan would break reachability between pods",
        explanation: "The plan would cut pairs of pods that reach each other now, or remove or \
                      recreate the nodes of a whole datacenter, node pool or cluster at once. \
                      stargate refuses such a plan unless `--allow-loss` is given. The report \
                      lists the pairs and the hop that would drop their packets; `stargate trace \
                      --planned` shows one of them. Pairs of a single node that is deleted are \
                      reported as removed and need no permission.",
    },
    Entry {
        code: Code::RolloutStopped,
        text: "SG0514",
        title: "the rollout stopped because workers failed",
        explanation: "Workers are changed in waves: one canary first, then several side by side. The \
                      canary failed, or more workers than `[rollout] max_failures`, so the remaining \
                      workers were not changed. Correct what the failed workers report and run the same \
                      command again; a worker that failed is then changed last.",
    },
    Entry {
        code: Code::WorkerOperationBlocked,
        text: "SG0515",
        title: "the worker cannot be repaved or rebooted now",
        explanation: "The worker is protected, is not a member of the cluster, or depends on a resource \
                      that does not exist yet. A repave or reboot changes only the named workers and \
                      creates nothing else for them. `stargate plan` shows what is missing; apply that \
                      first.",
    },
    Entry {
        code: Code::UnknownWorker,
        text: "SG0516",
        title: "the topology has no such worker",
        explanation: "A worker is addressed by its name in the topology file, which is also the name of \
                      its host and of its Node. `stargate status` lists all workers. Nothing was changed.",
    },
    Entry {
        code: Code::NodeMustBeReplaced,
        text: "SG0517",
        title: "the Node must be replaced",
        explanation: "`spec.podCIDR` and `spec.providerID` of a Node can be set only once, and this Node \
                      has other values than the topology asks for. stargate cannot correct them in place. \
                      Run `stargate repave WORKER`: it drains the worker, deletes its Node, and joins it \
                      again.",
    },
    Entry {
        code: Code::CertificateRefused,
        text: "SG0518",
        title: "a certificate request was not approved",
        explanation: "stargate approves only the client certificate request that the worker's own \
                      bootstrap token made for the worker's own name. This request differs in its \
                      user, groups, signer or subject, so it is left pending. Look at it with \
                      `kubectl get csr`, delete it if it is not needed, and apply again.",
    },
    Entry {
        code: Code::StepNotVerified,
        text: "SG0519",
        title: "a step ran without the expected effect",
        explanation: "Every step reads back what it wrote. The command reported success, but the second \
                      read does not show the result. Another program may have undone it, or the host \
                      ignores the setting. The message names the step; follow its remedy, then apply \
                      again.",
    },
    Entry {
        code: Code::StepTimedOut,
        text: "SG0520",
        title: "a step waited too long",
        explanation: "The step started something that another component must finish, such as a router that \
                      joins the tailnet or a kubelet that becomes Ready, and that did not happen in time. \
                      Follow the remedy to find out why, then apply again: the completed steps are not \
                      repeated.",
    },
    Entry {
        code: Code::DrainBlocked,
        text: "SG0521",
        title: "a worker could not be drained",
        explanation: "A PodDisruptionBudget, a pod without a controller, or a pod that does not \
                      terminate prevented the worker from being drained in time. The worker stays \
                      cordoned and nothing is deleted. The message names the pods. Let them move, \
                      raise `drain_seconds`, then run the same command again.",
    },
    Entry {
        code: Code::LeaseLost,
        text: "SG0522",
        title: "the apply lost its lease",
        explanation: "While changes are made, the Lease `stargate-write-<topology>` in `kube-system` keeps \
                      other applies of the topology waiting. It could not be renewed for its whole \
                      duration, or another apply has taken it over. Running steps finished and no other \
                      was started. Run the same command again.",
    },
    Entry {
        code: Code::ReplacementNotRequested,
        text: "SG0523",
        title: "the change needs a replacement that was not requested",
        explanation: "The edited field cannot be changed on a live object: the object would have to be \
                      deleted and created again, with everything that it contains. stargate does that \
                      only if `--replace ADDRESS` names the object. Undo the edit, or review `stargate \
                      plan --replace ADDRESS` and apply with the same option; a plan that loses pairs \
                      of pods also needs `--allow-loss`.",
    },
    Entry {
        code: Code::OwnedByOtherTopology,
        text: "SG0524",
        title: "another topology owns the object",
        explanation: "The object's mark (the Azure tag `stargate-topology`, the Kubernetes label \
                      `stargate.io/topology`) names another topology. `--adopt` does not take \
                      such an object, because the other topology depends on it. If `[stargate] \
                      name` was edited, `stargate apply --adopt-from OLD` adopts everything that \
                      was owned under the old name and changes nothing else. Otherwise two \
                      topologies name the same object: each needs a cluster, resource groups and \
                      router names of its own. While another topology owns objects of the \
                      cluster's site, the plan changes nothing. A device in the tailnet has only \
                      the topology's tag as a mark, which two topologies can share. It is deleted \
                      or replaced only if one of the topology's Servers records its address, or \
                      if it is the only device with the name of a router whose machine the \
                      topology owns; every other device is reported. Give each topology its own \
                      `[tailnet] tag`, and remove devices that are left over in the admin \
                      console.",
    },
    Entry {
        code: Code::UnknownAddress,
        text: "SG0525",
        title: "an option names an unknown resource or topology",
        explanation: "`--replace` and `--adopt` name resources by their addresses, as `stargate \
                      plan` and `stargate graph` print them, and `--adopt-from` names the \
                      topology that owns objects until now. No such resource or topology was \
                      found. A misspelled permission has no effect, so the command ended before \
                      it changed anything. If the replacement or the adoption is complete, run \
                      the command without the option.",
    },
    Entry {
        code: Code::PlanSignature,
        text: "SG0530",
        title: "the signature of the saved plan does not verify",
        explanation: "`STARGATE_PLAN_KEY` is set, so `stargate apply FILE` accepts only plans that \
                      `stargate plan --out FILE` signed with the same key (HMAC-SHA256). This one is not \
                      signed, was signed with another key, or was edited. Nothing was applied. Make a new \
                      plan with the key set; a key has at least 32 bytes, such as the output of \
                      `openssl rand -hex 32`.",
    },
    Entry {
        code: Code::PlanOutOfScope,
        text: "SG0531",
        title: "the saved plan names objects outside the topology",
        explanation: "A change of the saved plan is about an object in another subscription, or about one \
                      that the topology neither describes nor owns. stargate does not make such plans, so \
                      the file was edited, or the object is gone. Nothing was applied. Make a new plan with \
                      `stargate plan --out FILE`, and find out who changed the file.",
    },
    Entry {
        code: Code::PlanPermission,
        text: "SG0532",
        title: "an unsigned plan needs a permission",
        explanation: "The plan was saved with `--replace` or `--allow-loss`. A file that is not \
                      signed cannot grant such a permission, since it may have been edited. \
                      Nothing was applied. Repeat the options at `stargate apply`, or set \
                      `STARGATE_PLAN_KEY` for `stargate plan --out` and `stargate apply`: a \
                      signed plan keeps its permissions.",
    },
];
