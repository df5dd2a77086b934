//! How long a cookie lives, as precisely as a reader wants to know.

use std::time::Duration;

/// How long a cookie lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifetime {
    /// Until the browser is closed.
    Session,
    /// This long after it was set.
    For(Duration),
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

impl Lifetime {
    /// It rounds, so that a date that is written anew for each visitor is one lifetime and not thousands.
    pub fn rounded(life: Duration) -> Self {
        let seconds = life.as_secs();
        let unit = match seconds {
            0..MINUTE => 1,
            MINUTE..HOUR => MINUTE,
            HOUR..DAY => HOUR,
            _ => DAY,
        };
        // A date comes a few seconds late.
        Lifetime::For(Duration::from_secs((seconds + unit / 2) / unit * unit))
    }

    /// As the catalogue writes it: `session`, `30m`, `2h`, `180d`, `2y`.
    pub fn written(self) -> String {
        let Lifetime::For(life) = self else { return "session".to_owned() };
        match life.as_secs() {
            seconds if seconds >= YEAR && seconds % YEAR <= 2 * DAY => format!("{}y", seconds / YEAR),
            seconds if seconds >= DAY && seconds % DAY == 0 => format!("{}d", seconds / DAY),
            seconds if seconds >= HOUR && seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
            seconds if seconds >= MINUTE && seconds % MINUTE == 0 => format!("{}m", seconds / MINUTE),
            seconds => format!("{seconds}s"),
        }
    }

    /// 0 stands for unknown, 1 for the session; longer is more.
    pub(super) fn to_number(self) -> i64 {
        match self {
            Lifetime::Session => 1,
            Lifetime::For(life) => i64::try_from(life.as_secs()).unwrap_or(i64::MAX).max(2),
        }
    }

    pub(super) fn of_number(number: i64) -> Option<Self> {
        match number {
            ..=0 => None,
            1 => Some(Lifetime::Session),
            seconds => Some(Lifetime::For(Duration::from_secs(seconds.unsigned_abs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_reads_as_the_catalogue_writes_it() {
        for (seconds, expected) in [
            (5, "5s"),
            (60, "1m"),
            (1_799, "30m"),
            (7_200, "2h"),
            (86_399, "1d"),
            (86_400 * 30 - 3, "30d"),
            (86_400 * 365, "1y"),
            (86_400 * 730 + 5, "2y"),
            (86_400 * 400, "400d"),
        ] {
            assert_eq!(Lifetime::rounded(Duration::from_secs(seconds)).written(), expected, "{seconds}");
        }
        assert_eq!(Lifetime::Session.written(), "session");
    }

    #[test]
    fn a_number_stands_for_each_lifetime_and_longer_is_more() {
        let lives =
            [Lifetime::Session, Lifetime::rounded(Duration::from_secs(90)), Lifetime::For(Duration::MAX)];
        assert!(lives.windows(2).all(|two| two[0].to_number() < two[1].to_number()));
        assert_eq!(Lifetime::of_number(lives[1].to_number()), Some(lives[1]));
        assert_eq!((Lifetime::of_number(1), Lifetime::of_number(0)), (Some(Lifetime::Session), None));
    }
}
