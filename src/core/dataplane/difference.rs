//! In which elements two networks of the same hosts and segments differ.

use std::collections::BTreeSet;

use super::fabric::{Segment, SegmentId};
use super::host::HostId;

/// The elements that differ between two networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NetworkDifference {
    /// Hosts that differ, or whose interfaces do.
    pub(crate) hosts: BTreeSet<HostId>,
    /// Segments that differ in more than interfaces and single subnets.
    pub(crate) segments: BTreeSet<SegmentId>,
    /// Subnets whose routes or security groups differ, by their place.
    pub(crate) subnets: BTreeSet<(SegmentId, usize)>,
    /// Members of the tunnel that differ, or that know other peers.
    pub(crate) members: BTreeSet<HostId>,
    /// Whether an address that a host got or gave up is also another host's.
    pub(crate) addresses_overlap: bool,
}

impl NetworkDifference {
    /// Adds the differences between two versions of a segment.
    pub(crate) fn add_segment(&mut self, id: SegmentId, old: &Segment, new: &Segment) {
        let (old, new) = match (old, new) {
            (Segment::Fabric(old), Segment::Fabric(new)) => (old, new),
            (Segment::Lan(old), Segment::Lan(new)) if old == new => return,
            _ => {
                self.segments.insert(id);
                return;
            }
        };
        if (&old.address_space, old.unread, old.origin, old.subnets.len())
            != (&new.address_space, new.unread, new.origin, new.subnets.len())
            || old.overlay != new.overlay
        {
            self.segments.insert(id);
        }
        for (place, (old, new)) in old.subnets.iter().zip(&new.subnets).enumerate() {
            if old != new {
                self.subnets.insert((id, place));
            }
        }
        for (one, other) in [(old, new), (new, old)] {
            let differing =
                one.interfaces.iter().filter(|(at, it)| other.interfaces.get(at) != Some(it));
            self.hosts.extend(differing.map(|(_, interface)| interface.host));
        }
    }
}
