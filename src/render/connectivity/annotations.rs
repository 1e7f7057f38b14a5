//! Dropped pairs and violated rules as annotations.

use crate::connectivity::{Invariant, addresses};
use crate::dataplane::Verdict;
use crate::render::Style;
use crate::render::annotations::{Annotation, AnnotationLevel, AnnotationRule};

use super::check::{CheckReport, CheckStatus};
use super::live::LiveReport;
use super::reachability_report::{ReachabilityReportText, unread_pods};
use super::wording;

/// The id and the title of a rule about paths.
type PathRule = (&'static str, &'static str);

const DROPPED: PathRule = ("dropped-packets", "Packets between pods are dropped");
const UNKNOWN_PATH: PathRule = ("unknown-path", "A part of a path between pods could not be read");
const UNKNOWN_PODS: PathRule = ("unknown-pod-cidr", "The pods of a node could not be read");

impl ReachabilityReportText<'_> {
    /// One annotation for each cause of dropped pairs, and for nodes whose pods are
    /// unknown.
    pub fn annotations(&self) -> Vec<Annotation> {
        let remedies = self.report.remedies.iter().map(Some).chain(std::iter::repeat(None));
        let broken = self.report.matrix.broken.iter().zip(remedies);
        let mut found: Vec<Annotation> = broken
            .filter_map(|(problem, remedy)| {
                let (_, verdict) = problem.round_trip.broken()?;
                let (level, rule) = match verdict {
                    Verdict::Dropped(_) => (AnnotationLevel::Error, DROPPED),
                    _ => (AnnotationLevel::Unknown, UNKNOWN_PATH),
                };
                let resource = addresses(&self.report.model, verdict).first().cloned();
                let text = self.sentence(problem)?;
                let rule = AnnotationRule::named(rule.0, rule.1);
                let remedy = remedy.map(wording::describe_remedy).unwrap_or_default();
                Some(Annotation { remedy, resource, ..Annotation::new(rule, level, text) })
            })
            .collect();
        found.extend(self.report.unread.iter().map(|unread| {
            let rule = AnnotationRule::named(UNKNOWN_PODS.0, UNKNOWN_PODS.1);
            let text = unread_pods(unread);
            let remedy = wording::describe_remedy(&unread.remedy);
            Annotation { remedy, ..Annotation::new(rule, AnnotationLevel::Unknown, text) }
        }));
        found
    }
}

impl LiveReport<'_> {
    /// Measurements that differ from the model, and pairs without a measurement.
    fn annotations(&self) -> Vec<Annotation> {
        let level = match self.status() {
            CheckStatus::Passed => return Vec::new(),
            CheckStatus::Unknown => AnnotationLevel::Unknown,
            CheckStatus::Failed => AnnotationLevel::Error,
        };
        let rule = AnnotationRule::named("measured-reachability", "Goldpinger's measurements");
        // The first line says who measured, the last one counts the pairs.
        let lines = self.lines(Style::Plain);
        let text = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        vec![Annotation::new(rule, level, text.collect::<Vec<_>>().join(" "))]
    }
}

impl CheckReport<'_> {
    /// The annotations of a check: dropped pairs and violated rules.
    pub fn annotations(&self) -> Vec<Annotation> {
        let mut found = ReachabilityReportText { report: self.reachability }.annotations();
        found.extend(self.violations.iter().map(|violation| {
            let rule = AnnotationRule::named(
                violation.rule.as_str(),
                wording::describe_violation(violation.rule),
            );
            let text = format!("{}: {}", violation.address, wording::violation_text(violation));
            Annotation::new(rule, AnnotationLevel::Error, text).about(&violation.address)
        }));
        found.extend(self.live.as_ref().into_iter().flat_map(LiveReport::annotations));
        found
    }

    /// The rules that hold and were checked.
    pub fn rules_that_hold(&self) -> impl Iterator<Item = String> {
        let holds = |rule: &&Invariant| {
            self.violations.iter().all(|it| it.rule != **rule)
                && self.unchecked.iter().all(|it| it.rule != **rule)
        };
        Invariant::ALL.iter().filter(holds).map(|rule| wording::rule_id(*rule))
    }
}
