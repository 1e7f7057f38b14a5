//! SG07xx: the sandbox.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::SandboxDamaged,
        text: "SG0701",
        title: "the sandbox's folder is damaged",
        explanation: "The folder has files that stargate did not write or that were cut off, so the \
                      emulated services cannot be restored. It holds no real infrastructure. Run `stargate \
                      sandbox reset`, or use another folder with `--sandbox=DIR`.",
    },
    Entry {
        code: Code::SandboxInUse,
        text: "SG0702",
        title: "the sandbox's folder is in use",
        explanation: "Several commands can use one sandbox at the same time. Either a process that uses \
                      this folder has not reacted for ten seconds, perhaps because it is stopped, or the \
                      state would be deleted while another process uses it. End the other process, or use \
                      another folder with `--sandbox=DIR`.",
    },
    Entry {
        code: Code::UnknownFault,
        text: "SG0703",
        title: "there is no such fault",
        explanation: "`stargate sandbox break` injects faults by name and does not know this one. \
                      `stargate sandbox break --list` prints every fault with its effect.",
    },
    Entry {
        code: Code::UnknownTarget,
        text: "SG0704",
        title: "the sandbox has no such target",
        explanation: "The fault exists, and the sandbox has no object of the given name that it can break. \
                      If the sandbox is still empty, apply the topology to it first. The remedy proposes \
                      the most similar name.",
    },
];
