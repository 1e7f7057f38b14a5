//! Facts, their origin, and facts that could not be read.

/// The origin of a fact: a number that the builder of the network can look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u32);

/// A fact that was read, or could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact<T> {
    /// It was read.
    Known {
        /// The value.
        value: T,
        /// The origin.
        origin: Origin,
    },
    /// It could not be read.
    Unknown {
        /// The origin that could not be read.
        origin: Origin,
    },
}

/// A fact that the path of a packet depends on could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unread {
    /// The origin that could not be read.
    pub origin: Origin,
}

impl<T> Fact<T> {
    /// A fact that was read from the origin.
    pub fn known(value: T, origin: Origin) -> Self {
        Self::Known { value, origin }
    }

    /// A fact that could not be read from the origin.
    pub fn unknown(origin: Origin) -> Self {
        Self::Unknown { origin }
    }

    /// The value.
    ///
    /// # Errors
    /// If the fact could not be read.
    pub fn read(&self) -> Result<&T, Unread> {
        match self {
            Self::Known { value, .. } => Ok(value),
            Self::Unknown { origin } => Err(Unread { origin: *origin }),
        }
    }

    /// The origin.
    pub fn origin(&self) -> Origin {
        match self {
            Self::Known { origin, .. } | Self::Unknown { origin } => *origin,
        }
    }
}
