//! Whether an address is worth asking: what requests without an answer and active checks say of it. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// Requests in a row that got no connection or no answer, after which an address is skipped.
const FAILURES: u32 = 3;
/// For how long at first; each failed trial doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And for how long at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of one address.
#[derive(Debug)]
pub(super) struct Health {
    requested: Requested,
    checked: Checked,
}

/// What the requests of visitors have found.
#[derive(Debug)]
enum Requested {
    /// It is asked, after so many failures in a row.
    Trusted { failures: u32 },
    /// It is left alone.
    Skipped { until: Instant, pause: Duration },
    /// One request finds out whether it is back. Others keep away until that one must have an answer.
    OnTrial { until: Instant, pause: Duration },
}

/// What active checks have found.
#[derive(Debug)]
struct Checked {
    is_up: bool,
    /// Checks in a row that say otherwise.
    against: u32,
}

/// How many checks in a row change what is thought of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Thresholds {
    /// So many passed checks bring it back.
    pub healthy: u32,
    /// So many failed checks take it out.
    pub unhealthy: u32,
}

/// Whether an address should be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    Worthwhile,
    Hopeless,
}

/// Whether what was just learnt has changed the opinion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Same,
    WentDown,
    CameUp,
}

impl Health {
    /// Until something is known to the contrary, an address is worth asking.
    pub(super) fn new() -> Self {
        Health { requested: Requested::Trusted { failures: 0 }, checked: Checked { is_up: true, against: 0 } }
    }

    pub(super) fn opinion(&self, now: Instant) -> Opinion {
        let is_left_alone = match self.requested {
            Requested::Trusted { .. } => false,
            Requested::Skipped { until, .. } | Requested::OnTrial { until, .. } => now < until,
        };
        if is_left_alone || !self.checked.is_up { Opinion::Hopeless } else { Opinion::Worthwhile }
    }

    /// A request goes there. Where that is a trial, nobody else tries for `at_most`.
    pub(super) fn ask(&mut self, now: Instant, at_most: Duration) {
        if let Requested::Skipped { until, pause } | Requested::OnTrial { until, pause } = self.requested
            && until <= now
        {
            self.requested = Requested::OnTrial { until: now + at_most, pause };
        }
    }

    /// An answer came.
    pub(super) fn answered(&mut self) -> Turn {
        let before = std::mem::replace(&mut self.requested, Requested::Trusted { failures: 0 });
        match before {
            Requested::Skipped { .. } | Requested::OnTrial { .. } if self.checked.is_up => Turn::CameUp,
            Requested::Trusted { .. } | Requested::Skipped { .. } | Requested::OnTrial { .. } => Turn::Same,
        }
    }

    /// No connection could be made, or none of it brought an answer.
    pub(super) fn failed(&mut self, now: Instant) -> Turn {
        match self.requested {
            Requested::Trusted { failures } if failures + 1 < FAILURES => {
                self.requested = Requested::Trusted { failures: failures + 1 };
                Turn::Same
            }
            Requested::Trusted { .. } => {
                self.requested = Requested::Skipped { until: now + FIRST_PAUSE, pause: FIRST_PAUSE };
                Turn::WentDown
            }
            // Requests that were under way when it was given up tell nothing new.
            Requested::Skipped { .. } => Turn::Same,
            Requested::OnTrial { pause, .. } => {
                let pause = (pause * 2).min(LONGEST_PAUSE);
                self.requested = Requested::Skipped { until: now + pause, pause };
                Turn::Same
            }
        }
    }

    /// A check has passed.
    pub(super) fn passed(&mut self, thresholds: Thresholds) -> Turn {
        if self.checked.is_up {
            self.checked.against = 0;
            // It answers, whatever requests have found before.
            return self.answered();
        }
        self.checked.against += 1;
        if self.checked.against < thresholds.healthy {
            return Turn::Same;
        }
        self.checked = Checked { is_up: true, against: 0 };
        self.answered();
        Turn::CameUp
    }

    /// A check has failed.
    pub(super) fn missed(&mut self, thresholds: Thresholds) -> Turn {
        if !self.checked.is_up {
            self.checked.against = 0;
            return Turn::Same;
        }
        self.checked.against += 1;
        if self.checked.against < thresholds.unhealthy {
            return Turn::Same;
        }
        self.checked = Checked { is_up: false, against: 0 };
        Turn::WentDown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Duration = Duration::from_secs(5);
    const THRESHOLDS: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

    fn given_up(now: Instant) -> Health {
        let mut health = Health::new();
        let turns = [0; 4].map(|_| health.failed(now));
        assert_eq!(turns, [Turn::Same, Turn::Same, Turn::WentDown, Turn::Same]);
        health
    }

    #[test]
    fn a_few_failures_in_a_row_are_needed_and_one_success_forgives_them() {
        let now = Instant::now();
        let mut health = Health::new();
        for _ in 0..10 {
            health.failed(now);
            health.failed(now);
            assert_eq!(health.opinion(now), Opinion::Worthwhile);
            health.answered();
        }
        assert_eq!(given_up(now).opinion(now), Opinion::Hopeless);
    }

    #[test]
    fn one_request_at_a_time_finds_out_whether_it_is_back() {
        let now = Instant::now();
        let mut health = given_up(now);
        let later = now + FIRST_PAUSE;
        assert_eq!(health.opinion(later), Opinion::Worthwhile);
        health.ask(later, CLAIM);
        assert_eq!(health.opinion(later), Opinion::Hopeless);
        // A trial that told nothing is not the last one.
        assert_eq!(health.opinion(later + CLAIM), Opinion::Worthwhile);
        assert_eq!(health.answered(), Turn::CameUp);
        assert_eq!(health.opinion(later), Opinion::Worthwhile);
    }

    #[test]
    fn the_pause_doubles_up_to_a_minute() {
        let mut now = Instant::now();
        let mut health = given_up(now);
        let mut pauses = Vec::new();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60].map(Duration::from_secs) {
            assert_eq!(health.opinion(now + pause - Duration::from_millis(1)), Opinion::Hopeless);
            now += pause;
            assert_eq!(health.opinion(now), Opinion::Worthwhile, "after {pause:?}");
            health.ask(now, CLAIM);
            pauses.push(health.failed(now));
        }
        assert_eq!(pauses, [Turn::Same; 8]);
    }

    #[test]
    fn checks_take_out_and_bring_back_by_their_thresholds() {
        let now = Instant::now();
        let mut health = Health::new();
        let story = [
            ("missed", Turn::Same),
            ("missed", Turn::Same),
            ("passed", Turn::Same),
            ("missed", Turn::Same),
            ("missed", Turn::Same),
            ("missed", Turn::WentDown),
            ("passed", Turn::Same),
            ("missed", Turn::Same),
            ("passed", Turn::Same),
            ("passed", Turn::CameUp),
        ];
        for (index, (event, expected)) in story.into_iter().enumerate() {
            let turn = if event == "passed" { health.passed(THRESHOLDS) } else { health.missed(THRESHOLDS) };
            assert_eq!(turn, expected, "{index}");
        }
        assert_eq!(health.opinion(now), Opinion::Worthwhile);
    }

    #[test]
    fn a_passed_check_ends_the_pause_of_failed_requests() {
        let now = Instant::now();
        let mut health = given_up(now);
        assert_eq!(health.passed(THRESHOLDS), Turn::CameUp);
        assert_eq!(health.opinion(now), Opinion::Worthwhile);
    }
}
