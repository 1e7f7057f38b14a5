//! SG07xx: the sandbox.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::SandboxDamaged,
        text: "SG0701",
        title: "the sandbox's folder is damaged",
        explanation: "The folder holds files that stargate did not write or that were cut short, so the \
                      world in it cannot be restored. It holds no real infrastructure. Delete the folder, \
                      or name another one with `--sandbox=DIR`, and start anew.",
    },
    Entry {
        code: Code::SandboxInUse,
        text: "SG0702",
        title: "the sandbox's folder is in use",
        explanation: "Another process has the world of this folder open, and two writers would lose each \
                      other's changes. Wait for it or end it, or use another folder with `--sandbox=DIR`.",
    },
    Entry {
        code: Code::UnknownFault,
        text: "SG0703",
        title: "there is no such fault",
        explanation: "`sandbox break` injects faults by name, and this is none of them. `stargate sandbox \
                      break --list` prints each one with what it does to the world.",
    },
    Entry {
        code: Code::UnknownTarget,
        text: "SG0704",
        title: "there is no such target in the sandbox",
        explanation: "The fault is known, and the world holds no object of the name that it should hit. \
                      Apply the topology to the sandbox first if it is still empty; the remedy proposes \
                      the nearest name.",
    },
];
