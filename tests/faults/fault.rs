//! The kinds of faults.

use stargate::provider::http::Api;

/// A fault of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    // The connection.
    Refused,
    AnswerLost,
    NoAnswer,
    // Statuses.
    ServerError,
    BadGatewayInHtml,
    Unavailable,
    UnavailableForTwoSeconds,
    GatewayTimeout,
    Throttled,
    ThrottledForTwoSeconds,
    ThrottledForADay,
    Unauthenticated,
    Forbidden,
    Conflict,
    Redirected,
    // Bodies of another shape.
    NoBody,
    Null,
    Array,
    EmptyObject,
    Text,
    Html,
    Truncated,
    NotUtf8,
    DeeplyNested,
    ErrorWithStatus200,
    ListIsObject,
    ListIsNull,
    ListIsText,
    EntriesAreNull,
    EntriesAreNumbers,
    EntriesAreArrays,
    EntriesAreEmpty,
    NumbersForTexts,
    // Pages.
    PagesInACircle,
    EndlessPagesOfTheSame,
    EndlessPages,
    NextPageElsewhere,
    // Size and time, which take a socket.
    SlowBody,
    BodyBreaksOff,
    HugeBody,
    GzipBomb,
    ManyTinyValues,
}

impl Fault {
    /// Faults of a response in memory.
    pub(crate) const IN_MEMORY: [Self; 37] = [
        Self::Refused,
        Self::AnswerLost,
        Self::NoAnswer,
        Self::ServerError,
        Self::BadGatewayInHtml,
        Self::Unavailable,
        Self::UnavailableForTwoSeconds,
        Self::GatewayTimeout,
        Self::Throttled,
        Self::ThrottledForTwoSeconds,
        Self::ThrottledForADay,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Conflict,
        Self::Redirected,
        Self::NoBody,
        Self::Null,
        Self::Array,
        Self::EmptyObject,
        Self::Text,
        Self::Html,
        Self::Truncated,
        Self::NotUtf8,
        Self::DeeplyNested,
        Self::ErrorWithStatus200,
        Self::ListIsObject,
        Self::ListIsNull,
        Self::ListIsText,
        Self::EntriesAreNull,
        Self::EntriesAreNumbers,
        Self::EntriesAreArrays,
        Self::EntriesAreEmpty,
        Self::NumbersForTexts,
        Self::PagesInACircle,
        Self::EndlessPagesOfTheSame,
        Self::EndlessPages,
        Self::NextPageElsewhere,
    ];

    /// Faults that need a socket.
    pub(crate) const ON_THE_WIRE: [Self; 5] =
        [Self::SlowBody, Self::BodyBreaksOff, Self::HugeBody, Self::GzipBomb, Self::ManyTinyValues];

    /// Whether the service can have it: Tailscale's lists have no pages.
    pub(crate) fn applies_to(self, api: Api) -> bool {
        let pages = matches!(
            self,
            Self::PagesInACircle
                | Self::EndlessPagesOfTheSame
                | Self::EndlessPages
                | Self::NextPageElsewhere
        );
        match api {
            Api::Tailscale => !pages,
            // It follows tokens, not links.
            Api::Kubernetes => self != Self::NextPageElsewhere,
            Api::Azure => true,
        }
    }
}
