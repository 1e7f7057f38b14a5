//! SG01xx: the file and its syntax.

use super::{Code, Entry};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        code: Code::NotUtf8,
        text: "SG0101",
        title: "the file is not UTF-8",
        explanation: "A topology is a TOML file, and TOML is UTF-8 text. The file holds bytes that are no \
                      UTF-8, so nothing in it can be trusted to mean what it seems to. Save it as UTF-8 in \
                      the editor, or convert it with `iconv -t UTF-8`; if it is no text at all, `-f` names \
                      the wrong file.",
    },
    Entry {
        code: Code::EmptyFile,
        text: "SG0102",
        title: "the file is empty",
        explanation: "There is nothing in the file but blanks and comments. An empty topology is refused \
                      rather than read as the wish to have nothing, since that wish would delete \
                      everything that carries the topology's mark. Start from `stargate init`, and use \
                      `stargate destroy` to take everything away.",
    },
    Entry {
        code: Code::TooLarge,
        text: "SG0103",
        title: "the file is too large",
        explanation: "A topology of thousands of workers fits into a fraction of the limit of 1 MiB, so a \
                      larger file is nearly always another file. It is refused before it is parsed. Check \
                      `-f`; where a site really has that many machines, `worker_range` says it in a few \
                      lines.",
    },
    Entry {
        code: Code::Syntax,
        text: "SG0104",
        title: "the file is not valid TOML",
        explanation: "The text breaks a rule of TOML, so its structure is unknown from there on and \
                      nothing else was checked. The label shows where the parser gave up; the cause is \
                      there or just before, mostly a missing quote or bracket, or a key or table that is \
                      written twice.",
    },
    Entry {
        code: Code::UnknownKey,
        text: "SG0105",
        title: "unknown key",
        explanation: "The key means nothing at this place. It is an error and not ignored, because a \
                      misspelt key would silently leave its default in force. Rename it as the remedy \
                      proposes, or remove it; `stargate schema` prints every key that there is.",
    },
    Entry {
        code: Code::WrongType,
        text: "SG0106",
        title: "wrong type of value",
        explanation: "The value has another type than the key takes, such as a number where a text \
                      belongs. Mind the quotes: versions, addresses and prefixes are texts, while counts, \
                      ports and switches are bare. Write the value in the type that the remedy names.",
    },
    Entry {
        code: Code::MissingKey,
        text: "SG0107",
        title: "a required key is missing",
        explanation: "The table lacks a key that has no sensible default. Nothing can be planned without \
                      it, and guessing would create something real and wrong. Add the key to the table \
                      that the label points at; `stargate.toml.example` shows each one in its place.",
    },
    Entry {
        code: Code::UnknownValue,
        text: "SG0108",
        title: "the value is not one of the choices",
        explanation: "The key accepts only a few words, and this is not one of them. The remedy lists them \
                      all and proposes the nearest. Words are written in small letters with hyphens.",
    },
    Entry {
        code: Code::OutOfBounds,
        text: "SG0109",
        title: "the number is out of bounds",
        explanation: "The number is smaller or larger than what the clouds or Kubernetes accept here. It \
                      would be refused halfway through an apply, so it is refused now. Choose a number \
                      within the bounds that the remedy gives.",
    },
    Entry {
        code: Code::DatacenterKind,
        text: "SG0110",
        title: "a datacenter needs exactly one kind",
        explanation: "The kind of a datacenter says where its machines come from: \
                      `[datacenters.<name>.azure]` for VMs in Azure, `[datacenters.<name>.existing]` for \
                      machines that are there already. With none or several of them it is unclear what to \
                      create. Keep exactly one of the tables.",
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
                      addresses for SSH of machines in `existing`. In the other kind the key would do \
                      nothing, and its author expects that it does. Remove it, or change the \
                      datacenter's kind.",
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
                      autoscaler. With both, either would undo what the other does, and with neither the \
                      size is unknown. Keep `count` alone, or `min` and `max` together with `min` not \
                      above `max`.",
    },
    Entry {
        code: Code::Unreadable,
        text: "SG0115",
        title: "the file cannot be read",
        explanation: "There is no file of that name, it is a folder, or its mode keeps you out. stargate \
                      looks for `stargate.toml` in the current folder unless `-f` names another file; \
                      `stargate init` writes one to start from.",
    },
];
