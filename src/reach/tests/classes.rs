//! Classes answer what walking every pair would.

use proptest::prelude::*;

use super::laws::broken_world;
use super::world::*;
use crate::reach::classes::Classes;
use crate::reach::{End, Network, Protocol, trip};

fn ends(world: &World, network: &Network) -> Vec<End> {
    world.ends().into_iter().filter_map(|address| network.end(address)).collect()
}

#[test]
fn a_healthy_world_has_few_classes() {
    for choice in choices() {
        let world = healthy(choice);
        let network = world.network();
        let classes = Classes::of(&network, ends(&world, &network));
        // AKS's pods and nodes, the datacenter's pods and workers.
        assert_eq!(classes.len(), 4, "{choice:?}");
        let pairs: u64 =
            classes.trips(&network, Protocol::Icmp).iter().map(|trip| trip.pairs).sum();
        assert_eq!(pairs, 8 * 8 - 4 * 4, "all but those on one host");
    }
}

proptest! {
    /// However broken the world: every pair fares as its classes do.
    #[test]
    fn classes_stand_for_their_pairs(world in broken_world()) {
        let network = world.network();
        let classes = Classes::of(&network, ends(&world, &network));
        let mut pairs = 0;
        for class_trip in classes.trips(&network, Protocol::Icmp) {
            for from in classes.members(class_trip.from) {
                for to in classes.members(class_trip.to).filter(|to| to.host != from.host) {
                    let own = trip(&network, from, to.address, Protocol::Icmp);
                    prop_assert_eq!(own.reached(), class_trip.trip.reached(), "{:?} {:?}", from, to);
                    let way = |trip: &crate::reach::Trip| trip.broken().map(|(way, _)| way);
                    prop_assert_eq!(way(&own), way(&class_trip.trip));
                    pairs += 1;
                }
            }
            pairs -= class_trip.pairs;
        }
        prop_assert_eq!(pairs, 0);
    }
}
