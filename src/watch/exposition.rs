//! Metrics of several topologies as one text.

/// The end of a text in the format of OpenMetrics.
const END: &str = "# EOF\n";

/// Merges texts in the format of OpenMetrics that have the same metrics in the same order with
/// different labels: a metric may be described only once.
pub fn merge(texts: &[String]) -> String {
    let mut families: Vec<(String, String)> = Vec::new();
    for text in texts {
        for (description, samples) in families_of(text) {
            match families.iter_mut().find(|(known, _)| *known == description) {
                Some((_, known)) => known.push_str(&samples),
                None => families.push((description, samples)),
            }
        }
    }
    let mut merged: String =
        families.into_iter().map(|(description, samples)| description + &samples).collect();
    merged.push_str(END);
    merged
}

/// The description and the samples of each metric.
fn families_of(text: &str) -> Vec<(String, String)> {
    let mut families: Vec<(String, String)> = Vec::new();
    for line in text.split_inclusive('\n').filter(|line| *line != END) {
        let is_description = line.starts_with('#');
        match families.last_mut() {
            Some((_, samples)) if !is_description => samples.push_str(line),
            Some((description, samples)) if samples.is_empty() && !is_first(line) => {
                description.push_str(line);
            }
            _ => families.push((line.to_owned(), String::new())),
        }
    }
    families
}

/// Whether a line begins the description of a metric.
fn is_first(line: &str) -> bool {
    line.starts_with("# HELP ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_described_once() {
        let text = |topology: &str, value: u8| {
            format!(
                "# HELP drift Drift.\n# TYPE drift gauge\n# HELP up Up.\n# TYPE up gauge\n\
                 up{{topology=\"{topology}\"}} {value}\n# EOF\n"
            )
        };
        let expected = "# HELP drift Drift.\n# TYPE drift gauge\n# HELP up Up.\n# TYPE up gauge\n\
                        up{topology=\"a\"} 1\nup{topology=\"b\"} 2\n# EOF\n";
        assert_eq!(merge(&[text("a", 1), text("b", 2)]), expected);
        assert_eq!(merge(&[]), END);
    }
}
