"""add_kind.py TREE: adds a made-up kind of resource, an IP group, to a tree.

An IP group is a named set of prefixes, to be used in rules of firewalls. It
stands in Azure, is listed over the subscription, and can be updated in place.
Each change is put next to a line that is found by its code, so that other edits
of the same files do no harm.
"""

import pathlib
import re
import sys

TREE = pathlib.Path(sys.argv[1])


def insert(path, anchor, text, before=False):
    """Puts text next to the only place that the anchor matches."""
    file = TREE / path
    source = file.read_text()
    found = list(re.finditer(anchor, source, re.MULTILINE))
    if len(found) != 1:
        sys.exit(f"{path}: {len(found)} places match {anchor!r}")
    place = found[0].start() if before else found[0].end()
    file.write_text(source[:place] + text + source[place:])


def create(path, text):
    (TREE / path).write_text(text)


# The row of the table.
insert(
    "src/core/resource/kind.rs",
    r"^(?:    ///[^\n]*\n)+    TailnetDevice = ",
    """\
    /// An IP group.
    IpGroup = in_azure("ip-group",
        ArmType::listed("Microsoft.Network/ipGroups", "IP group", NETWORK));
""",
    before=True,
)

# The value.
insert(
    "src/core/resource/value.rs",
    r"^    RouteTable\(Shared<azure::RouteTable>\),\n",
    """\
    /// An IP group.
    IpGroup(azure::IpGroup),
""",
)
insert(
    "src/core/resource/value.rs",
    r"^            Self::RouteTable\(_\) => Kind::RouteTable,\n",
    "            Self::IpGroup(_) => Kind::IpGroup,\n",
)
for method in ("references", "awaits"):
    insert(
        "src/core/resource/value.rs",
        rf"^            Self::Subnet\(subnet\) => subnet.{method}\(\),\n",
        "            Self::IpGroup(_) => Vec::new(),\n",
    )
insert(
    "src/core/resource/azure.rs",
    r"\Z",
    """
/// An IP group: a named set of prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpGroup {
    /// The region.
    pub location: String,
    /// Exactly these prefixes.
    pub prefixes: std::collections::BTreeSet<Ipv4Net>,
}
""",
)

# The codec.
insert("src/provider/azure/codec/mod.rs", r"^pub mod association;\n", "pub mod ip_group;\n")
insert(
    "src/provider/azure/codec/mod.rs",
    r"^        Kind::RouteTable => [^\n]*\n",
    "        Kind::IpGroup => ip_group::decode(body).map(Resource::IpGroup),\n",
)
insert(
    "src/provider/azure/codec/mod.rs",
    r"^        Resource::RouteTable\(table\) => [^\n]*\n",
    "        Resource::IpGroup(group) => Ok(ip_group::encode(group, base, marks)),\n",
)
create(
    "src/provider/azure/codec/ip_group.rs",
    """\
//! IP groups.

use serde_json::{Value, json};

use super::body::merge_onto;
use super::fields::{location, prefix};
use super::{DecodeError, Marks};
use crate::resource::azure::IpGroup;

const WHAT: &str = "IP group";

/// Reads what ARM answered.
pub fn decode(body: &Value) -> Result<IpGroup, DecodeError> {
    let texts = body.pointer("/properties/ipAddresses").and_then(Value::as_array);
    let texts = texts.into_iter().flatten().filter_map(Value::as_str);
    Ok(IpGroup {
        location: location(WHAT, body.get("location").and_then(Value::as_str))?,
        prefixes: texts.map(|text| prefix(WHAT, "ipAddresses", text)).collect::<Result<_, _>>()?,
    })
}

/// Writes what ARM takes.
pub fn encode(group: &IpGroup, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let ours = json!({
        "location": group.location,
        "tags": marks.tags(),
        "properties": {"ipAddresses": group.prefixes},
    });
    merge_onto(base, ours)
}
""",
)

# The desired state.
insert(
    "src/core/desired/cluster_site.rs",
    r"^pub\(super\) fn router_machine\([^\n]*\n",
    "    ip_group(context, set);\n",
)
insert(
    "src/core/desired/cluster_site.rs",
    r"\Z",
    """
/// The networks of the datacenters, for the rules of firewalls.
fn ip_group(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    use crate::topology::model::DatacenterKind;
    let name = "stargate-networks";
    let sites = context.topology.datacenters.iter().map(|datacenter| &datacenter.kind);
    let networks = sites.filter_map(|kind| match kind {
        DatacenterKind::Azure(azure) => Some(azure.vnet_cidr),
        DatacenterKind::Existing(_) => None,
    });
    let group = crate::resource::azure::IpGroup {
        location: context.cluster_location(),
        prefixes: networks.collect(),
    };
    set.add(
        ResourceBuilder::new(
            address(Kind::IpGroup, name),
            context.in_network_group(Kind::IpGroup, name),
            Resource::IpGroup(group),
        )
        .contained_in_all(context.cluster_dependencies())
        .planned_because_of("firewalls let the datacenters' networks in"),
    );
}
""",
)
