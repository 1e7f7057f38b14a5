//! Lists that come in pages.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    /// The objects.
    #[serde(default)]
    pub(super) value: Vec<Value>,
    /// Where the next page is; absent, null or empty on the last one.
    #[serde(rename = "nextLink", default)]
    next_link: Option<String>,
}

impl Page {
    /// Where the next page is.
    pub(super) fn next(&self) -> Option<&str> {
        self.next_link.as_deref().filter(|link| !link.is_empty())
    }
}

/// Whether a link leads to the very service that gave it: the token goes along.
pub(super) fn same_origin(base: &str, link: &str) -> bool {
    match (Url::parse(base), Url::parse(link)) {
        (Ok(base), Ok(link)) => base.origin() == link.origin(),
        _ => false,
    }
}

/// The same, and regional hosts below the service's own name, where Azure
/// sends clients to follow an operation.
pub(super) fn same_service(base: &str, link: &str) -> bool {
    let (Ok(base_url), Ok(link_url)) = (Url::parse(base), Url::parse(link)) else {
        return false;
    };
    let below = match (base_url.host_str(), link_url.domain()) {
        (Some(base), Some(host)) => host.ends_with(&format!(".{base}")),
        _ => false,
    };
    same_origin(base, link)
        || (below
            && link_url.scheme() == base_url.scheme()
            && link_url.port_or_known_default() == base_url.port_or_known_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_with_its_service() {
        let base = "https://management.azure.com";
        assert!(same_origin(base, "https://MANAGEMENT.azure.com:443/x?y=1"));
        assert!(!same_origin(base, "http://management.azure.com/x"));
        assert!(!same_origin(base, "https://evil.test/https://management.azure.com"));
        assert!(same_service(base, "https://westus.management.azure.com/x"));
        assert!(!same_service(base, "https://evilmanagement.azure.com/x"));
        assert!(!same_service(base, "/relative"));
    }
}
