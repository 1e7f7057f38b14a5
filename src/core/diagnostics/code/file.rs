//! SG01xx: the file and its syntax.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::NotUtf8,
        text: "SG0101",
        title: "the file is not UTF-8",
        explanation: "A topology is a TOML file, and TOML is UTF-8 text. The file contains bytes \
                      that are not UTF-8, so none of its content can be trusted. Save it as UTF-8 \
                      in the editor, or convert it with `iconv -t UTF-8`; if it is not text at \
                      all, `-f` names the wrong file.",
    },
    Entry {
        code: Code::EmptyFile,
        text: "SG0102",
        title: "the file is empty",
        explanation: "The file has only blanks and comments. An empty topology is refused rather \
                      than read as a request to delete everything that the topology owns. Start \
                      from `stargate init`, and use `stargate destroy` to delete everything.",
    },
    Entry {
        code: Code::TooLarge,
        text: "SG0103",
        title: "the file is too large",
        explanation: "A topology of thousands of workers fits into a fraction of the limit of 1 \
                      MiB, so a larger file is nearly always another file. It is refused before \
                      it is parsed. Check `-f`; if a site really has that many machines, \
                      `worker_range` defines them in a few lines.",
    },
    Entry {
        code: Code::Syntax,
        text: "SG0104",
        title: "the file is not valid TOML",
        explanation: "The text is not valid TOML, so its structure is unknown and nothing else \
                      was checked. The label shows where the parser stopped; the cause is there \
                      or just before it, usually a missing quote or bracket, or a key or table \
                      that is defined twice.",
    },
    Entry {
        code: Code::UnknownKey,
        text: "SG0105",
        title: "unknown key",
        explanation: "The table has no such key. Unknown keys are errors, because a misspelt key \
                      would silently leave its default in force. Rename it as the remedy \
                      proposes, or remove it; `stargate schema` prints all keys.",
    },
    Entry {
        code: Code::WrongType,
        text: "SG0106",
        title: "wrong type of value",
        explanation: "The value has another type than the key takes, such as a number instead of \
                      a string. Versions, addresses and prefixes are strings in quotes; counts, \
                      ports and booleans have no quotes. Write the value with the type that the \
                      remedy names.",
    },
    Entry {
        code: Code::MissingKey,
        text: "SG0107",
        title: "a required key is missing",
        explanation: "The table lacks a key that has no sensible default. Nothing can be planned \
                      without it, and a guess could create the wrong resources. Add the key to \
                      the table that the label points at; `stargate.toml.example` shows all \
                      keys.",
    },
    Entry {
        code: Code::UnknownValue,
        text: "SG0108",
        title: "the value is not one of the choices",
        explanation: "The key accepts only certain values. The remedy lists them and proposes the \
                      most similar one. Values are lowercase words with hyphens.",
    },
    Entry {
        code: Code::OutOfBounds,
        text: "SG0109",
        title: "the number is out of bounds",
        explanation: "Azure or Kubernetes does not accept the number and would reject it in the \
                      middle of an apply, so it is rejected now. Choose a number within the \
                      bounds that the remedy gives.",
    },
    Entry {
        code: Code::DatacenterKind,
        text: "SG0110",
        title: "a datacenter needs exactly one kind",
        explanation: "The kind of a datacenter says where its machines come from: \
                      `[datacenters.<name>.azure]` for VMs in Azure, \
                      `[datacenters.<name>.existing]` for existing machines. With none or several \
                      of them it is unclear what to create. Keep exactly one of the tables.",
    },
    Entry {
        code: Code::UnsupportedKind,
        text: "SG0111",
        title: "the kind `qemu` is not supported yet",
        explanation: "Local virtual machines are planned as a kind of datacenter, and the table's name is \
                      reserved for them, but this version cannot create any. Start the machines yourself \
                      and describe them with `[datacenters.<name>.existing]`, or use kind `azure`.",
    },
    Entry {
        code: Code::KeyNotForKind,
        text: "SG0112",
        title: "the key does not fit the datacenter's kind",
        explanation: "Some keys make sense for one kind of datacenter only: VM sizes for `azure`, \
                      addresses for SSH of machines in `existing`. For another kind the key would \
                      have no effect. Remove it, or change the datacenter's kind.",
    },
    Entry {
        code: Code::NamePatternInvalid,
        text: "SG0113",
        title: "the name pattern has no place for the number",
        explanation: "A worker range makes many names out of one pattern, so the pattern needs exactly one \
                      place for the number: `{}` for the bare number, or `{:03}` for three digits with \
                      leading zeros. Without one, all workers would have the same name.",
    },
    Entry {
        code: Code::ScaleConflict,
        text: "SG0114",
        title: "a node pool needs `count`, or `min` and `max`",
        explanation: "`count` holds a pool at a number of nodes; `min` and `max` leave it to the \
                      autoscaler. With both, each would undo the other; with neither, the size is \
                      unknown. Keep `count` alone, or `min` and `max` together with `min` not \
                      above `max`.",
    },
    Entry {
        code: Code::Unreadable,
        text: "SG0115",
        title: "the file cannot be read",
        explanation: "The file does not exist, is a directory, or its mode does not allow \
                      reading. stargate looks for `stargate.toml` in the current folder unless \
                      `-f` names another file; `stargate init` writes one to start from.",
    },
    Entry {
        code: Code::OutputExists,
        text: "SG0130",
        title: "a file would be overwritten",
        explanation: "`stargate plan --out FILE` replaces an older saved plan and nothing else. FILE is \
                      the topology, or a file that is not a saved plan, so it was left as it is and no \
                      plan was made. Choose another path, or delete the file first.",
    },
];
