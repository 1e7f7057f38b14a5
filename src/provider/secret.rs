//! Values that must never be shown.

use std::fmt;

use zeroize::Zeroizing;

/// A secret: it cannot be printed, has no serialised form, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a value into custody.
    pub fn new(value: impl Into<String>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// The value itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("(sensitive)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::new("tskey-auth-marked");
        assert_eq!(format!("{secret:?}"), "(sensitive)");
        assert_eq!(format!("{:?}", Some(secret)), "Some((sensitive))");
    }
}
