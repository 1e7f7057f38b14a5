//! The result of a write.

use crate::apply::events::Outcome;
use crate::refresh::Current;

/// An object as a service sent it once it was written; `None` if it has to be read.
pub(in crate::apply) type Written = Option<Box<Current>>;

/// The result of a creation that the service guards.
pub(in crate::apply) enum Creation {
    /// The object was created.
    Made(Written),
    /// The service refused to create it in this state; that it exists is one reason.
    Refused(Outcome),
}
