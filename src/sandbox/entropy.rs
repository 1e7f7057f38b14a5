//! A reproducible source of names and ids.

use serde::{Deserialize, Serialize};

/// A reproducible pseudo-random sequence.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// Starts a sequence with a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (SplitMix64).
    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next GUID.
    pub fn next_guid(&mut self) -> String {
        let high = u128::from(self.next_number());
        let low = u128::from(self.next_number());
        uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid().to_string()
    }
}
