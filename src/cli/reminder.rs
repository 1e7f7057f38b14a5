//! Prints the requests that a command waits for, if there is no progress bar.

use std::time::Duration;

use tokio::time::{Instant, interval_at};

use super::ui::Ui;
use crate::provider::http::RequestCount;
use crate::render::text::{elapsed, wrap_to};

/// How often a command that waits says so.
const INTERVAL: Duration = Duration::from_secs(30);

/// Calls that a reminder names.
const MAX_NAMED: usize = 3;

/// Completes the work; until then, calls `remind` every 30 s with the time since the
/// start.
pub(crate) async fn reminding<T>(work: impl Future<Output = T>, remind: impl Fn(Duration)) -> T {
    let started = Instant::now();
    let mut ticks = interval_at(started + INTERVAL, INTERVAL);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = &mut work => return result,
            _ = ticks.tick() => remind(started.elapsed()),
        }
    }
}

/// Completes a refresh; until then, names the calls that it waits for every 30 s.
pub(crate) async fn reading<T>(
    work: impl Future<Output = T>,
    requests: &RequestCount,
    ui: &Ui,
) -> T {
    let remind = |after| {
        let text = waiting_text(after, &requests.running());
        ui.status(&wrap_to(ui.columns(), &text, "", "  ").join("\n"));
    };
    reminding(work, remind).await
}

fn waiting_text(after: Duration, running: &[String]) -> String {
    let named = running.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match running.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    // Hosts have no API with a count of calls.
    let awaited = if named.is_empty() { "hosts over SSH".to_owned() } else { named + &more };
    format!("Reading the live state for {}; waiting for {awaited}", elapsed(after))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::cli::ui::testing::buffered;
    use crate::resource::Api;

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_reported_every_30_s() {
        let reminders = Mutex::new(Vec::new());
        let work = tokio::time::sleep(Duration::from_secs(95));
        reminding(work, |after| reminders.lock().unwrap().push(after.as_secs())).await;
        assert_eq!(*reminders.lock().unwrap(), [30, 60, 90]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refresh_names_the_calls_that_it_waits_for() {
        let (ui, _, err) = buffered(None, false);
        let requests = RequestCount::default();
        let call = requests.begin(Api::Azure, "GET /subscriptions/x/resourceGroups");
        reading(tokio::time::sleep(Duration::from_secs(40)), &requests, &ui).await;
        drop(call);
        reading(tokio::time::sleep(Duration::from_secs(40)), &requests, &ui).await;
        assert_eq!(
            err.text(),
            "Reading the live state for 30.0 s; waiting for azure: GET\n  \
             /subscriptions/x/resourceGroups\n\
             Reading the live state for 30.0 s; waiting for hosts over SSH\n"
        );
        let (silent, _, err) = buffered(None, true);
        reading(tokio::time::sleep(Duration::from_secs(40)), &requests, &silent).await;
        assert_eq!(err.text(), "");
    }
}
