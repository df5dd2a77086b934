//! What lasts is told now and then, and not each time that it is seen.

use std::time::Duration;

use tokio::time::Instant;

/// How often it is told while it lasts.
const EVERY: Duration = Duration::from_secs(60);

/// When something was told last.
#[derive(Debug, Default)]
pub(super) struct Told(Option<Instant>);

impl Told {
    /// Whether it is to be told now; then it has been.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = self.0.is_none_or(|told| now.duration_since(told) >= EVERY);
        if is_due {
            self.0 = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_once_a_minute() {
        let (mut told, mut times) = (Told::default(), 0);
        for _ in 0..1_500 {
            times += usize::from(told.is_due());
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        assert_eq!(times, 3, "two and a half minutes");
    }
}
