//! Facts, their origin, and facts that could not be read.

/// The origin of a fact: a number that the builder of the network can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u32);

/// Something that was read, or could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact<T> {
    /// It was read.
    Known {
        /// What was read.
        value: T,
        /// Where.
        origin: Origin,
    },
    /// It could not be read.
    Unknown {
        /// Where it would have been.
        origin: Origin,
    },
}

/// A fact that a packet's way depends on could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unread {
    /// Where it would have been.
    pub origin: Origin,
}

impl<T> Fact<T> {
    /// Something that was read there.
    pub fn known(value: T, origin: Origin) -> Self {
        Self::Known { value, origin }
    }

    /// Something that would have been there.
    pub fn unknown(origin: Origin) -> Self {
        Self::Unknown { origin }
    }

    /// What was read.
    ///
    /// # Errors
    /// If the fact could not be read.
    pub fn read(&self) -> Result<&T, Unread> {
        match self {
            Self::Known { value, .. } => Ok(value),
            Self::Unknown { origin } => Err(Unread { origin: *origin }),
        }
    }

    /// Where it is, or would have been.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Known { origin, .. } | Self::Unknown { origin } => *origin,
        }
    }
}
