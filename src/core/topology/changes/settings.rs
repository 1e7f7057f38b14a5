//! Fields of the topology as a whole, and of stargate itself.

use super::ChangeOutcome::{InPlace, NoChange, Refused, Replacement};
use super::sources::{
    DAEMON_SET, DEVICE_TAGS, MOVE_REGION, OS_PROFILE, SNAT, SSH, STARGATE, SUBSCRIPTION, TAGS,
    TAILNET,
};
use super::{ChangeRule, OTHER, rule};
use crate::diagnostics::Code;

const NEXT_RECONCILE: &str = "it applies from the next reconcile of `stargate watch` on";

const OTHER_ENDPOINTS: &str =
    "requests go to the other endpoint, which must serve the same objects";
const OTHER_SIGN_IN: &str = "tokens come from the other endpoint, or are for the other audience";

pub(super) const RULES: &[ChangeRule] = &[
    rule(
        "stargate.name",
        OTHER,
        Refused(Code::OwnedByOtherTopology),
        (
            "the objects are owned by the former name; `apply --adopt-from NAME` takes them over",
            TAGS,
        ),
    ),
    rule(
        "azure.subscription",
        "the subscription of `AZURE_SUBSCRIPTION_ID`",
        NoChange,
        ("the objects are in it already", STARGATE),
    ),
    rule(
        "azure.subscription",
        "another subscription",
        Refused(Code::OtherSubscription),
        ("the objects cannot be moved: destroy the deployment and create it there", SUBSCRIPTION),
    ),
    rule(
        "azure.location",
        OTHER,
        Replacement,
        (
            "the cluster, and every datacenter without a `location` of its own, is deleted and \
             created again in the other region; name their resource groups",
            MOVE_REGION,
        ),
    )
    .losing(),
    rule("azure.cloud", OTHER, NoChange, (OTHER_ENDPOINTS, STARGATE)),
    rule("azure.endpoints.resource_manager", OTHER, NoChange, (OTHER_ENDPOINTS, STARGATE)),
    rule("azure.endpoints.authority", OTHER, NoChange, (OTHER_SIGN_IN, STARGATE)),
    rule("azure.endpoints.audience", OTHER, NoChange, (OTHER_SIGN_IN, STARGATE)),
    rule(
        "tailnet.name",
        "the name of the credential's tailnet",
        NoChange,
        ("the devices are in it already", TAILNET),
    ),
    rule("tailnet.api", OTHER, NoChange, (OTHER_ENDPOINTS, STARGATE)),
    rule(
        "tailnet.tag",
        "another value than the default",
        InPlace,
        (
            "the devices of the routers get the other tag and keep their addresses; the tailnet \
             policy must have an owner for it (SG0406)",
            DEVICE_TAGS,
        ),
    ),
    rule(
        "tailnet.tag",
        "another value, in place of one that is not the default",
        Refused(Code::NotOwned),
        (
            "devices with the former tag count as foreign: give them the other tag in the admin \
             console first",
            DEVICE_TAGS,
        ),
    ),
    rule(
        "ssh.user",
        OTHER,
        NoChange,
        (
            "stargate logs in to hosts as the other user, which must exist on them; new VMs are \
             created with it, and no VM is replaced",
            OS_PROFILE,
        ),
    ),
    rule("ssh.port", OTHER, NoChange, ("hosts are reached at the other port", SSH)),
    rule(
        "ssh.public_key",
        OTHER,
        NoChange,
        ("new VMs get the other key, and no VM is replaced", OS_PROFILE),
    ),
    rule("ssh.identity_files", OTHER, NoChange, ("other keys are tried", SSH)),
    rule("ssh.known_hosts", OTHER, NoChange, ("host keys are recorded in the other file", SSH)),
    rule("ssh.host_keys", OTHER, NoChange, ("the other policy applies to unknown host keys", SSH)),
    rule(
        "network.source_addresses",
        "`preserve` or `masquerade`",
        InPlace,
        ("the routers' firewall and Tailscale's SNAT are changed without a restart", SNAT),
    ),
    rule(
        "network.route_manager",
        "`true`",
        InPlace,
        ("a DaemonSet is created in the cluster", DAEMON_SET),
    ),
    rule(
        "network.goldpinger",
        "`false`",
        InPlace,
        ("Goldpinger's objects are deleted; no other pod is affected", DAEMON_SET),
    ),
    rule("rollout.canary", OTHER, NoChange, ("it applies from the next rollout on", STARGATE)),
    rule("rollout.width", OTHER, NoChange, ("it applies from the next rollout on", STARGATE)),
    rule(
        "rollout.max_failures",
        OTHER,
        NoChange,
        ("it applies from the next rollout on", STARGATE),
    ),
    rule("rollout.drain_seconds", OTHER, NoChange, ("it applies from the next drain on", STARGATE)),
    rule("watch.apply", OTHER, NoChange, (NEXT_RECONCILE, STARGATE)),
    rule("watch.interval_seconds", OTHER, NoChange, (NEXT_RECONCILE, STARGATE)),
    rule("watch.max_removals", OTHER, NoChange, (NEXT_RECONCILE, STARGATE)),
    rule(
        "ignore[].address",
        OTHER,
        NoChange,
        ("the drift of other resources is ignored", STARGATE),
    ),
    rule("ignore[].field", OTHER, NoChange, ("the drift of other fields is ignored", STARGATE)),
    rule("ignore[].reason", OTHER, NoChange, ("plans print the other reason", STARGATE)),
    rule("ignore[].until", OTHER, NoChange, ("the drift is ignored until the other day", STARGATE)),
];
