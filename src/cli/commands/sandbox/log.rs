//! The output of `stargate sandbox log`.

use serde_json::{Value, json};

use crate::cli::arguments::Format;
use crate::render::text::{WIDTH, counted, width};
use crate::sandbox::log::{CommandRecord, RequestLog, RequestRecord};

/// The version of the format of `sandbox log --format json`.
const FORMAT_VERSION: &str = "2.0";

/// The requests of the last command that used the sandbox, or of all commands.
pub(super) fn text(log: &RequestLog, all: bool, format: Format) -> String {
    let runs: Vec<&CommandRecord> = match all {
        true => log.runs().collect(),
        false => log.last_run().into_iter().collect(),
    };
    match format {
        Format::Json => format!("{:#}\n", to_json(&runs)),
        Format::Text if runs.is_empty() => "No command has used this sandbox yet.\n".to_owned(),
        Format::Text => {
            let printed: Vec<String> = runs.into_iter().map(to_text).collect();
            printed.join("\n")
        }
    }
}

fn to_json(runs: &[&CommandRecord]) -> Value {
    let (reads, writes) = sums(runs);
    let printed: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "number": run.number,
                "command": run.command,
                "started_at": run.began,
                "sends_requests": run.makes_requests,
                "reads": run.reads(),
                "writes": run.writes(),
                "counts": run.counts,
                "requests": run.entries,
                "discarded": run.forgotten,
            })
        })
        .collect();
    json!({ "format_version": FORMAT_VERSION, "reads": reads, "writes": writes, "runs": printed })
}

fn sums(runs: &[&CommandRecord]) -> (u64, u64) {
    (runs.iter().map(|run| run.reads()).sum(), runs.iter().map(|run| run.writes()).sum())
}

fn to_text(run: &CommandRecord) -> String {
    let began = run.began.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut text = format!("{began}  {}\n", run.command);
    if !run.makes_requests {
        return text;
    }
    if run.forgotten > 0 {
        let earlier = counted(usize::try_from(run.forgotten).unwrap_or(usize::MAX), "request");
        text.push_str(&format!("{:>6}  {earlier} before these were discarded\n", "…"));
    }
    for entry in &run.entries {
        text.push_str(&line(entry));
    }
    for (api, counts) in &run.counts {
        let methods: Vec<String> =
            counts.methods.iter().map(|(method, count)| format!("{method} {count}")).collect();
        text.push_str(&format!(
            "{api:10}  {}, {}: {}\n",
            number(counts.reads, "read"),
            number(counts.writes, "write"),
            methods.join(", ")
        ));
    }
    let (reads, writes) = (number(run.reads(), "read"), number(run.writes(), "write"));
    text.push_str(&format!("{:10}  {reads}, {writes}\n", "all"));
    text
}

fn line(entry: &RequestRecord) -> String {
    // Writes are marked.
    let mark = if entry.write { '*' } else { ' ' };
    let begin = format!(
        "{:>6} {mark} {:10}  {:6}  {:3}",
        entry.number, entry.api, entry.method, entry.status
    );
    // A path that is too long for the line gets one of its own.
    let separator = match width(&begin) + 2 + width(&entry.path) {
        0..=WIDTH => "  ",
        _ => "\n         ",
    };
    format!("{begin}{separator}{}\n", entry.path)
}

fn number(count: u64, what: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), what)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::resource::Api;

    fn log() -> RequestLog {
        let mut log = RequestLog::default();
        let ask = |log: &mut RequestLog, api, method: &str, path: &str| {
            let request =
                http::Request::builder().method(method).uri(path).body(Bytes::new()).unwrap();
            log.record(api, &request, 200, Timestamp::UNIX_EPOCH);
        };
        log.begin("apply", Timestamp::UNIX_EPOCH);
        ask(&mut log, Api::Azure, "PUT", "/x/routeTables/t");
        log.begin("plan", Timestamp::UNIX_EPOCH);
        ask(&mut log, Api::Azure, "GET", "/x/routeTables/t");
        ask(&mut log, Api::Kubernetes, "GET", "/api/v1/nodes");
        log.mark("sandbox break source-down", Timestamp::UNIX_EPOCH);
        log
    }

    #[test]
    fn the_last_command_is_shown_with_its_counts() {
        let desired = "\
1970-01-01 00:00:00 UTC  plan
     1   azure       GET     200  /x/routeTables/t
     2   kubernetes  GET     200  /api/v1/nodes
azure       1 read, 0 writes: GET 1
kubernetes  1 read, 0 writes: GET 1
all         2 reads, 0 writes
";
        assert_eq!(text(&log(), false, Format::Text), desired);
        let empty = text(&RequestLog::default(), false, Format::Text);
        assert_eq!(empty, "No command has used this sandbox yet.\n");
    }

    #[test]
    fn all_commands_are_shown_in_order_with_the_marks_between() {
        let printed = text(&log(), true, Format::Text);
        assert!(
            printed.contains("     0 * azure       PUT     200  /x/routeTables/t\n"),
            "{printed}"
        );
        let begins: Vec<&str> =
            printed.lines().filter_map(|line| line.split("UTC  ").nth(1)).collect();
        assert_eq!(begins, ["apply", "plan", "sandbox break source-down"]);
    }

    #[test]
    fn json_has_the_same_content() {
        let read =
            |all| -> Value { serde_json::from_str(&text(&log(), all, Format::Json)).unwrap() };
        let last = read(false);
        assert_eq!((&last["reads"], &last["writes"]), (&json!(2), &json!(0)));
        assert_eq!(last["runs"][0]["command"], "plan");
        assert_eq!(last["runs"][0]["counts"]["azure"]["methods"]["GET"], 1);
        let all = read(true);
        assert_eq!((&all["writes"], all["runs"].as_array().map(Vec::len)), (&json!(1), Some(3)));
        assert_eq!(all["runs"][0]["requests"][0]["write"], true);
        assert_eq!(all["runs"][2]["sends_requests"], false);
    }
}
