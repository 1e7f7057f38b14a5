//! The formats of plans and reports, with the text that all commands share.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::render::annotations::AnnotationFormat;

/// The format of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PlanFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// JSON.
    Json,
    /// Markdown for a comment on a pull request.
    Markdown,
    /// Annotations of the topology file.
    Annotations(AnnotationFormat),
}

/// The format of a report about the topology or the live state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReportFormat {
    /// Human-readable text.
    #[default]
    Text,
    /// JSON.
    Json,
    /// Annotations of the topology file.
    Annotations(AnnotationFormat),
}

/// The formats in which an error that ends a command is data, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// Markdown for a comment on a pull request.
    Markdown,
    /// Annotations of the topology file.
    Annotations(AnnotationFormat),
}

impl PlanFormat {
    /// The format of errors, if they are data in this format.
    pub(crate) fn of_errors(self) -> Option<ErrorFormat> {
        match self {
            Self::Text | Self::Json => None,
            Self::Markdown => Some(ErrorFormat::Markdown),
            Self::Annotations(format) => Some(ErrorFormat::Annotations(format)),
        }
    }
}

impl ReportFormat {
    /// The format of errors, if they are data in this format.
    pub(crate) fn of_errors(self) -> Option<ErrorFormat> {
        match self {
            Self::Text | Self::Json => None,
            Self::Annotations(format) => Some(ErrorFormat::Annotations(format)),
        }
    }
}

impl ValueEnum for PlanFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Text,
            Self::Json,
            Self::Markdown,
            Self::Annotations(AnnotationFormat::Sarif),
            Self::Annotations(AnnotationFormat::Junit),
            Self::Annotations(AnnotationFormat::Github),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => text(),
            Self::Json => json().help("JSON; `stargate schema --plan` prints its schema"),
            Self::Markdown => {
                PossibleValue::new("markdown").help("Markdown for a comment on a pull request")
            }
            Self::Annotations(format) => annotations(*format),
        })
    }
}

impl ValueEnum for ReportFormat {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Text,
            Self::Json,
            Self::Annotations(AnnotationFormat::Sarif),
            Self::Annotations(AnnotationFormat::Junit),
            Self::Annotations(AnnotationFormat::Github),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Text => text(),
            Self::Json => json().help("JSON"),
            Self::Annotations(format) => annotations(*format),
        })
    }
}

fn text() -> PossibleValue {
    PossibleValue::new("text").help("Human-readable text")
}

fn json() -> PossibleValue {
    PossibleValue::new("json")
}

fn annotations(format: AnnotationFormat) -> PossibleValue {
    let (name, help) = match format {
        AnnotationFormat::Sarif => ("sarif", "SARIF 2.1.0, for code scanning"),
        AnnotationFormat::Junit => ("junit", "JUnit XML, for the test results of a CI job"),
        AnnotationFormat::Github => {
            ("github", "Annotations of the topology file, for GitHub Actions")
        }
    };
    PossibleValue::new(name).help(help)
}
