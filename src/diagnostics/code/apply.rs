//! SG05xx: plan and apply.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::WithoutMark,
        text: "SG0501",
        title: "an object without our mark stands in the way",
        explanation: "Something of the wanted name exists and does not carry this topology's mark, or has \
                      lost it. stargate never overwrites what it does not own, so it blocks what depends \
                      on it. Look at the object; if it is yours, `apply --adopt ADDRESS` marks it, else \
                      rename it in the topology.",
    },
    Entry {
        code: Code::Protected,
        text: "SG0502",
        title: "the change is blocked by `protect = true`",
        explanation: "The plan would replace or delete something that the topology protects. The rest of \
                      the plan goes on, and the blocked change says why it was wanted. Undo the edit that \
                      causes it, or set `protect = false` first and apply that.",
    },
    Entry {
        code: Code::RouterOffline,
        text: "SG0503",
        title: "a router is offline",
        explanation: "The tailnet has not seen the router for a while, so its routes lead nowhere and its \
                      hosts cannot be reached. Check that the machine runs and that `tailscale status` on \
                      it says it is logged in; `stargate trace` shows which pods are cut off.",
    },
    Entry {
        code: Code::StalePlan,
        text: "SG0504",
        title: "the plan is stale",
        explanation: "A step checked the facts that it relied on just before it acted, and they had \
                      changed since the plan was made. It did nothing, and neither did what depends on it. \
                      Plan again and look at the new difference.",
    },
    Entry {
        code: Code::PlanTruncated,
        text: "SG0505",
        title: "the saved plan is damaged",
        explanation: "The file ends too early or its checksum does not match, so it cannot be known what \
                      was approved. Nothing was applied. Make a new one with `plan --out`.",
    },
    Entry {
        code: Code::PlanVersion,
        text: "SG0506",
        title: "the saved plan is of another version of stargate",
        explanation: "A saved plan is applied only by the version that made it, since another one may mean \
                      something else by the same step. Nothing was applied. Make a new plan with this \
                      version, or apply with the old one.",
    },
    Entry {
        code: Code::PlanTopology,
        text: "SG0507",
        title: "the saved plan is of another topology",
        explanation: "The plan was made from another topology file, or the file has been edited since. \
                      Applying it would bring about what nobody has written down any more. Make a new \
                      plan, or restore the file.",
    },
    Entry {
        code: Code::ApprovalNeeded,
        text: "SG0508",
        title: "approval is needed and there is no terminal",
        explanation: "Changes are applied only after somebody has agreed. Without a terminal nobody can be \
                      asked, and waiting would hang the job for ever. Run with `--yes` where the plan has \
                      been looked at before, or apply a saved plan.",
    },
    Entry {
        code: Code::NoProgress,
        text: "SG0509",
        title: "the apply makes no progress",
        explanation: "Two rounds in a row found the same changes to make, so something undoes what is \
                      applied or the service does not store it. The loop ends rather than going on for \
                      ever. The message names the changes; look for another tool that manages the same \
                      objects.",
    },
    Entry {
        code: Code::GroupHoldsForeign,
        text: "SG0510",
        title: "the resource group holds foreign objects",
        explanation: "Deleting a resource group deletes everything in it, and this one holds objects \
                      without this topology's mark. It is left alone. Move them out, or delete them \
                      yourself if nobody needs them, and run destroy again.",
    },
    Entry {
        code: Code::StepFailed,
        text: "SG0511",
        title: "a step failed",
        explanation: "One effect of the plan did not come about; the message holds the service's own \
                      words. What depends on it was not tried, and everything else was done. Mend the \
                      cause and apply again: it goes on from where the world stands.",
    },
    Entry {
        code: Code::PartlyApplied,
        text: "SG0512",
        title: "the plan was applied in part",
        explanation: "Some steps were done and some were not, because of a failure or an interruption. The \
                      world is in a state between, and nothing is lost: the next plan shows exactly what \
                      is left. Apply again after mending what failed.",
    },
    Entry {
        code: Code::ReachabilityLost,
        text: "SG0513",
        title: "the plan would cut pods off from each other",
        explanation: "After the plan, some pairs of pods that reach each other now would not any more. \
                      That is refused unless it is allowed by name, because it is mostly a mistake. The \
                      report lists the pairs and the hop that would drop them.",
    },
    Entry {
        code: Code::RolloutStopped,
        text: "SG0514",
        title: "the rollout stopped because workers failed",
        explanation: "Workers are changed in waves: a canary first, then many side by side. The canary \
                      failed, or more workers than `[rollout] max_failures`, so what had not begun was \
                      left as it is. Mend what the failed workers report and run the same command again; \
                      a worker that has failed goes last then, so that another one is the canary.",
    },
    Entry {
        code: Code::WorkerNotWorkedOn,
        text: "SG0515",
        title: "the worker cannot be repaved or rebooted as things are",
        explanation: "The worker is protected, or is no member of the cluster, or rests on something that \
                      is not there yet. A repave and a reboot touch the named workers only, so nothing \
                      else is made for them. `stargate plan` shows what is missing; apply that first.",
    },
    Entry {
        code: Code::UnknownWorker,
        text: "SG0516",
        title: "the topology has no such worker",
        explanation: "A worker is named by its name in the topology file, which is its host name and its \
                      Node's name. `stargate status` lists them all. Nothing was done.",
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
                      bootstrap token made for the worker's own name. This request differs in its user, \
                      groups, signer or subject, so it is left pending. Look at it with `kubectl get csr`, \
                      delete it if no one needs it, and apply again.",
    },
    Entry {
        code: Code::StepNotVerified,
        text: "SG0519",
        title: "a step ran and its effect was not found afterwards",
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
        explanation: "A PodDisruptionBudget, a pod without a controller, or a pod that does not terminate \
                      kept the worker from being drained in time. The worker stays cordoned and nothing is \
                      deleted. The message names the pods. Let them move, raise `drain_seconds`, then run \
                      the same command again.",
    },
];
