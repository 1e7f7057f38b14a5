//! Lists that come in pages, of services that may lie about them.

use std::collections::HashSet;

use serde_json::Value;

use super::settings::ClientSettings;
use crate::diagnostics::counted;

/// Collects the objects of a list, page by page, within limits.
#[derive(Debug)]
pub(super) struct Listing {
    settings: ClientSettings,
    identity: fn(&Value) -> Option<String>,
    objects: Vec<Value>,
    pages: usize,
    known: HashSet<String>,
    /// Links or tokens of requested pages.
    requested: HashSet<String>,
}

/// Why a list cannot be read to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ListingFault {
    /// A page leads to one that was read already.
    #[error("the pages of the list form a loop after {}", counted(*.0, "page"))]
    Circle(usize),
    /// A page holds nothing but objects of earlier pages.
    #[error("page {0} of the list repeats objects of earlier pages only")]
    Repeats(usize),
    /// There are more pages than any real list has.
    #[error("the list has more than {0} pages")]
    Pages(usize),
    /// There are more objects than any real list has.
    #[error("the list has more than {0} objects")]
    Objects(usize),
}

impl Listing {
    /// An empty list; `identity` distinguishes objects.
    pub(super) fn new(settings: &ClientSettings, identity: fn(&Value) -> Option<String>) -> Self {
        Self {
            settings: *settings,
            identity,
            objects: Vec::new(),
            pages: 0,
            known: HashSet::new(),
            requested: HashSet::new(),
        }
    }

    /// Adds the objects of a page. An object that moved to a later page while
    /// the list was read is kept once.
    ///
    /// # Errors
    ///
    /// The page brings nothing new, or too much.
    pub(super) fn add(&mut self, items: Vec<Value>) -> Result<(), ListingFault> {
        self.pages += 1;
        let (count, before) = (items.len(), self.objects.len());
        for item in items {
            let identity = (self.identity)(&item);
            if identity.is_none_or(|identity| self.known.insert(identity)) {
                self.objects.push(item);
            }
        }
        if count > 0 && self.objects.len() == before {
            return Err(ListingFault::Repeats(self.pages));
        }
        if self.objects.len() > self.settings.max_objects {
            return Err(ListingFault::Objects(self.settings.max_objects));
        }
        Ok(())
    }

    /// Records the request for the next page by this link or token.
    ///
    /// # Errors
    ///
    /// It was requested already, or there were enough pages.
    pub(super) fn follow(&mut self, next: &str) -> Result<(), ListingFault> {
        if !self.requested.insert(next.to_owned()) {
            return Err(ListingFault::Circle(self.pages));
        }
        if self.pages >= self.settings.max_pages {
            return Err(ListingFault::Pages(self.settings.max_pages));
        }
        Ok(())
    }

    /// Every object.
    pub(super) fn finish(self) -> Vec<Value> {
        self.objects
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listing(settings: ClientSettings) -> Listing {
        Listing::new(&settings, |item| item.as_str().map(str::to_owned))
    }

    #[test]
    fn circles_and_repeats_end_a_list() {
        let mut list = listing(ClientSettings::default());
        list.add(vec![json!("a"), json!("b")]).unwrap();
        list.follow("2").unwrap();
        list.add(vec![json!("b"), json!("c")]).unwrap();
        assert_eq!(list.follow("2"), Err(ListingFault::Circle(2)));
        assert_eq!(list.add(vec![json!("a")]), Err(ListingFault::Repeats(3)));
        assert_eq!(list.finish(), [json!("a"), json!("b"), json!("c")]);
    }

    #[test]
    fn pages_and_objects_are_limited_and_empty_pages_are_fine() {
        let settings = ClientSettings { max_pages: 2, max_objects: 2, ..Default::default() };
        let mut list = listing(settings);
        list.add(Vec::new()).unwrap();
        list.follow("2").unwrap();
        list.add(vec![json!("a"), json!("b")]).unwrap();
        assert_eq!(list.follow("3"), Err(ListingFault::Pages(2)));
        assert_eq!(list.add(vec![json!("c")]), Err(ListingFault::Objects(2)));
    }
}
