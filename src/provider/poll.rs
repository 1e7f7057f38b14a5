//! Waiting for a state by reading it again and again, by tokio's clock.

use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a state is read, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Polling {
    /// The pause between two reads.
    pub interval: Duration,
    /// The time after which no further read begins.
    pub timeout: Duration,
}

impl Polling {
    /// Reads until a read breaks with the expected value. After the timeout, the result is
    /// the value with which the last read continued.
    ///
    /// # Errors
    ///
    /// The first error of a read: it ends the wait.
    pub async fn poll_until<T, P, E, F>(
        self,
        mut read: impl FnMut() -> F,
    ) -> Result<ControlFlow<T, P>, E>
    where
        F: Future<Output = Result<ControlFlow<T, P>, E>>,
    {
        let deadline = Instant::now() + self.timeout;
        loop {
            match read().await? {
                ControlFlow::Continue(_) if Instant::now() < deadline => {
                    sleep(self.interval).await;
                }
                last => return Ok(last),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const POLLING: Polling =
        Polling { interval: Duration::from_secs(2), timeout: Duration::from_secs(10) };

    async fn counted(end: u32) -> (Result<ControlFlow<u32, u32>, String>, Duration) {
        let (count, begin) = (Cell::new(0), Instant::now());
        let polled = POLLING.poll_until(|| async {
            count.set(count.get() + 1);
            match count.get() {
                4 => Err("broken".to_owned()),
                found if found == end => Ok(ControlFlow::Break(found)),
                found => Ok(ControlFlow::Continue(found)),
            }
        });
        (polled.await, begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_break_or_error_ends_the_wait() {
        assert_eq!(counted(1).await, (Ok(ControlFlow::Break(1)), Duration::ZERO));
        assert_eq!(counted(3).await, (Ok(ControlFlow::Break(3)), Duration::from_secs(4)));
        assert_eq!(counted(9).await, (Err("broken".to_owned()), Duration::from_secs(6)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_read_is_returned_when_the_time_is_up() {
        let begin = Instant::now();
        let polled: Result<ControlFlow<(), &str>, ()> =
            POLLING.poll_until(|| async { Ok(ControlFlow::Continue("not yet")) }).await;
        assert_eq!(polled, Ok(ControlFlow::Continue("not yet")));
        assert_eq!(begin.elapsed(), Duration::from_secs(10));
    }
}
