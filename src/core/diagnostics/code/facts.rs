//! The facts about each code, found by the code.

use super::{Code, Entry, GROUPS, file};

impl Code {
    /// The code as it is printed.
    pub fn as_str(self) -> &'static str {
        self.entry().text
    }

    /// The title, in a few words.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// Its meaning, why it matters, and the remedy.
    pub fn explanation(self) -> &'static str {
        self.entry().explanation
    }

    pub(super) fn entry(self) -> &'static Entry {
        let mut entries = GROUPS.into_iter().flatten();
        // A test holds that every code has an entry, so the fallback is never taken.
        entries.find(|entry| entry.code == self).unwrap_or(&file::ENTRIES[0])
    }
}
