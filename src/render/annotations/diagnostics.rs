//! Diagnostics of the topology file as annotations.

use crate::diagnostics::{Diagnostic, Severity};

use super::{Annotation, AnnotationLevel, AnnotationRule};

impl From<&Diagnostic> for Annotation {
    fn from(found: &Diagnostic) -> Self {
        let level = match found.severity {
            Severity::Error => AnnotationLevel::Error,
            Severity::Warning => AnnotationLevel::Warning,
        };
        Self {
            remedy: found.remedy.clone(),
            span: found.primary.as_ref().map(|label| label.span.clone()),
            ..Self::new(AnnotationRule::of_code(found.code), level, &found.message)
        }
    }
}
