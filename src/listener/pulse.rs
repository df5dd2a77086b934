//! Whether all threads that serve connections still do what they are given.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// How often it is felt.
const EVERY: Duration = Duration::from_secs(1);

/// When all threads last did what they were given. Clones are one.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Default for Pulse {
    /// Just now.
    fn default() -> Self {
        Pulse::of(Instant::now())
    }
}

impl Pulse {
    /// One that was felt last at this time.
    pub fn of(last: Instant) -> Self {
        Pulse(Arc::new(Mutex::new(last)))
    }

    /// Feels it from now on, for as long as the threads are there. Must be called inside a runtime.
    pub(super) fn feel(threads: Vec<Handle>) -> Self {
        let pulse = Pulse::default();
        let felt = pulse.clone();
        tokio::spawn(async move {
            loop {
                for answer in threads.iter().map(|thread| thread.spawn(async {})).collect::<Vec<_>>() {
                    if answer.await.is_err() {
                        return;
                    }
                }
                *felt.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                tokio::time::sleep(EVERY).await;
            }
        });
        pulse
    }

    /// How long ago that was; a second at most while all is well.
    pub fn age(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether that is longer ago than any request takes a thread for.
    pub fn is_lost(&self) -> bool {
        const LONGEST: Duration = Duration::from_secs(10);
        self.age() > LONGEST
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn thread() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).build().unwrap()
    }

    #[tokio::test]
    async fn a_thread_that_does_nothing_any_more_is_felt_and_one_that_goes_on_again() {
        let (idle, busy) = (thread(), thread());
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        busy.spawn(async move { _ = stuck.recv() });
        let pulse = Pulse::feel(vec![idle.handle().clone(), busy.handle().clone()]);
        tokio::time::sleep(EVERY + EVERY / 2).await;
        assert!(pulse.age() > EVERY);
        drop(release);
        while pulse.age() > EVERY {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        idle.shutdown_background();
        busy.shutdown_background();
    }
}
