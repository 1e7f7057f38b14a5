//! Checks the URLs of services.

use super::Checker;
use crate::diagnostics::{Code, Diagnostic};
use crate::net::service_url;
use crate::topology::located::Located;

impl Checker<'_> {
    /// The URL of a service without a trailing slash.
    pub(super) fn optional_url(&mut self, written: Option<&Located<String>>) -> Option<String> {
        let written = written?;
        let url = service_url::parse(&written.value);
        if let Err(error) = &url {
            let message = format!("`{}` is not the URL of a service: {error}", written.value);
            self.found.push(
                Diagnostic::error(Code::InvalidUrl, message)
                    .at(written.span.clone(), "not the URL of a service")
                    .remedy("use a URL such as \"https://management.example.com\""),
            );
        }
        url.ok()
    }

    /// An audience is compared as text by the sign-in service, so it is kept as written. It
    /// becomes a scope, which is a word of a list.
    pub(super) fn audience(&mut self, written: &Located<String>) -> String {
        let text = &written.value;
        if text.is_empty() || !text.chars().all(|one| one.is_ascii_graphic()) {
            self.found.push(
                Diagnostic::error(Code::InvalidUrl, format!("invalid audience `{text}`"))
                    .at(written.span.clone(), "not an audience")
                    .remedy(
                        "use the value that `/metadata/endpoints` of Azure Resource Manager \
                         lists, such as \"https://management.azure.com\"",
                    ),
            );
        }
        text.clone()
    }
}
