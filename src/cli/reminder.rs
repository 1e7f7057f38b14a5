//! Prints the requests that a command waits for, if there is no progress bar.

use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep_until};

use super::ui::Ui;
use crate::provider::http::RequestCount;
use crate::render::text::{elapsed, wrap_to};

/// How often a command that waits says so.
const INTERVAL: Duration = Duration::from_secs(30);

/// When a refresh first says what it waits for.
const FIRST: Duration = Duration::from_millis(800);
/// How long a call runs before the first line names it.
const LONG_CALL: Duration = Duration::from_millis(500);

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

/// Completes a refresh; until then, names the calls that it waits for, first before a second
/// has passed and then every 30 s.
pub(crate) async fn reading<T>(
    work: impl Future<Output = T>,
    requests: &RequestCount,
    ui: &Ui,
) -> T {
    let first = sleep_until(Instant::now() + FIRST);
    let mut reminded = std::pin::pin!(reminding(work, |after| {
        let awaited = awaited(&requests.running_for(Duration::ZERO));
        print(ui, &format!("Reading the live state for {}{awaited}", elapsed(after)));
    }));
    tokio::select! {
        biased;
        result = &mut reminded => return result,
        () = first => {}
    }
    let long = requests.running_for(LONG_CALL);
    if !long.is_empty() {
        print(ui, &format!("Reading the live state{}", awaited(&long)));
    }
    reminded.await
}

/// Completes a part of the sign-in to Azure; names it before a second has passed.
pub(crate) async fn signing_in<T>(
    work: impl Future<Output = T>,
    origin: &str,
    ui: Option<&Ui>,
) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = tokio::time::sleep(LONG_CALL) => {}
    }
    if let Some(ui) = ui {
        print(ui, &format!("Signing in to Azure with {origin}"));
    }
    work.await
}

fn print(ui: &Ui, text: &str) {
    ui.status(&wrap_to(ui.columns(), text, "", "  ").join("\n"));
}

fn awaited(running: &[String]) -> String {
    let named = running.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match running.len() {
        0 => String::new(),
        all if all > MAX_NAMED => format!("; waiting for {named} and {} more", all - MAX_NAMED),
        _ => format!("; waiting for {named}"),
    }
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
        // A call that begins and ends in the meantime is not worth a line.
        let short = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let running = requests.begin(Api::Azure, "GET short");
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(running);
            tokio::time::sleep(Duration::from_secs(39)).await;
        };
        call.sent_again("answered 503".to_owned());
        reading(short, &requests, &ui).await;
        drop(call);
        assert_eq!(
            err.text(),
            "Reading the live state; waiting for azure: GET /subscriptions/x/resourceGroups\n  \
             (answered 503; sent again)\n\
             Reading the live state for 30.0 s; waiting for azure: GET\n  \
             /subscriptions/x/resourceGroups (answered 503; sent again)\n"
        );
        let (ui, _, err) = buffered(None, false);
        let probe = requests.begin_on_host("router-1");
        reading(tokio::time::sleep(Duration::from_millis(950)), &requests, &ui).await;
        drop(probe);
        reading(tokio::time::sleep(Duration::from_secs(40)), &requests, &ui).await;
        assert_eq!(
            err.text(),
            "Reading the live state; waiting for ssh: router-1\n\
             Reading the live state for 30.0 s\n"
        );
        let (ui, _, err) = buffered(None, false);
        for seconds in [0, 3] {
            let work = tokio::time::sleep(Duration::from_secs(seconds));
            signing_in(work, "AZURE_CLIENT_SECRET", Some(&ui)).await;
        }
        assert_eq!(err.text(), "Signing in to Azure with AZURE_CLIENT_SECRET\n");
        let (silent, _, err) = buffered(None, true);
        reading(tokio::time::sleep(Duration::from_secs(40)), &requests, &silent).await;
        assert_eq!(err.text(), "");
    }
}
