//! Pages of Azure's lists, and which links may be followed.

use serde_json::Value;
use url::Url;

use crate::diagnostics::service_text::{Breaks, make_safe};
use crate::provider::error::RequestError;
use crate::provider::http::Api;
use crate::provider::http_client::{kind_of, malformed, raw_object};

/// The entries of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// Objects with ids.
    Objects,
    /// Values without ids, such as quotas.
    Values,
}

/// One page of a list; its text is safe to print.
#[derive(Debug)]
pub(super) struct Page {
    /// The objects, each with an id.
    pub(super) value: Vec<Value>,
    /// Where the next page is; none on the last one.
    pub(super) next: Option<String>,
}

impl Page {
    /// Decodes a page.
    ///
    /// # Errors
    ///
    /// It has no array `value`, an entry is no object with an ID, or the link to the next
    /// page is not a string. Such a page must not pass for an empty list, because objects
    /// that a list lacks count as absent.
    pub(super) fn read(
        body: &[u8],
        activity: &str,
        entries: Entries,
    ) -> Result<Self, RequestError> {
        let broken = |reason: &str| malformed(Api::Azure, activity, reason);
        let mut page = raw_object(Api::Azure, body, activity)?;
        let next = match page.get_mut("nextLink").map(Value::take) {
            None | Some(Value::Null) => None,
            Some(Value::String(link)) => Some(link).filter(|link| !link.is_empty()),
            Some(_) => return Err(broken("`nextLink` is not a string")),
        };
        let mut value = match page.get_mut("value").map(Value::take) {
            Some(Value::Array(value)) => value,
            Some(other) => {
                return Err(broken(&format!("`value` is {}, not an array", kind_of(&other))));
            }
            None => return Err(broken("the page of the list has no array `value`")),
        };
        match entries {
            Entries::Objects if value.iter().any(|item| !item["id"].is_string()) => {
                return Err(broken("an entry of the list is not an object with an `id`"));
            }
            Entries::Values if value.iter().any(|item| !item.is_object()) => {
                return Err(broken("an entry of the list is not a JSON object"));
            }
            _ => {}
        }
        value.iter_mut().for_each(|item| make_safe(item, Breaks::Escape));
        Ok(Self { value, next })
    }
}

/// The identity of an object of a list: ids are the same in any letter case.
pub(super) fn identity(item: &Value) -> Option<String> {
    item["id"].as_str().map(str::to_ascii_lowercase)
}

/// Whether a link has the origin of the service that returned it: the token is sent with
/// it.
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
    fn a_page_of_another_shape_is_an_error_and_never_an_empty_list() {
        for body in [
            "{}",
            "[]",
            "null",
            "",
            "<html>",
            r#"{"value": {}}"#,
            r#"{"value": null}"#,
            r#"{"value": [null]}"#,
            r#"{"value": [{"name": "no id"}]}"#,
            r#"{"error": {"code": "AuthorizationFailed", "message": "no"}}"#,
            r#"{"value": [], "nextLink": 7}"#,
        ] {
            let error =
                Page::read(body.as_bytes(), "GET /x", Entries::Objects).unwrap_err().to_string();
            assert!(error.contains("GET /x") && error.contains("Azure"), "{error}");
        }
        let page =
            Page::read(br#"{"value": [], "nextLink": ""}"#, "GET /x", Entries::Objects).unwrap();
        assert!(page.value.is_empty() && page.next.is_none());
    }

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
