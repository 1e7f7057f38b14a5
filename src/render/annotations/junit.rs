//! Annotations as JUnit XML, where a result is a test case that did not pass.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::{Annotation, AnnotationLevel, AnnotationReport};

/// One test suite with a case for each result, and for each satisfied rule.
pub(super) fn render(report: &AnnotationReport<'_>) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(format!("stargate {}", report.command));
    suite.add_test_cases(report.annotations.iter().map(|one| case(report, one)));
    suite.add_test_cases(report.passed.iter().map(|name| {
        let mut case = TestCase::new(name.as_str(), TestCaseStatus::success());
        case.set_classname(report.command);
        case
    }));
    let mut junit = Report::new("stargate");
    junit.add_test_suite(suite);
    junit.to_string()
}

fn case(report: &AnnotationReport<'_>, one: &Annotation) -> TestCase {
    let status = match (&one.ignored, one.level) {
        (Some(reason), _) => {
            let mut skipped = TestCaseStatus::skipped();
            skipped.set_message(reason.as_str());
            skipped
        }
        (None, AnnotationLevel::Note) => TestCaseStatus::success(),
        (None, AnnotationLevel::Unknown) => failed(report, one, NonSuccessKind::Error),
        (None, _) => failed(report, one, NonSuccessKind::Failure),
    };
    let mut case = TestCase::new(one.message.as_str(), status);
    case.set_classname(one.rule.id.as_str());
    case
}

fn failed(report: &AnnotationReport<'_>, one: &Annotation, kind: NonSuccessKind) -> TestCaseStatus {
    let (line, column) = report.region(one).start;
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(one.message.as_str());
    status.set_type(one.rule.id.as_str());
    status.set_description(format!("{}\n{}:{line}:{column}", one.text(), report.file_name));
    status
}
