//! How many reports are taken in, and which are told of: bounded by site, never by visitor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::Timestamp;

/// Reports a minute, of one site and of all.
const OF_SITE: u32 = 600;
const OF_ALL: u32 = 6_000;

/// How long nothing is told again, in seconds.
const SILENCE: i64 = 3_600;

/// The most that is remembered of what was told.
const MOST: usize = 2_048;

/// What is remembered of reports. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    minute: i64,
    of_all: u32,
    of_sites: HashMap<Box<str>, u32>,
    told: HashMap<Box<str>, i64>,
}

impl Intake {
    /// Whether one more report of a site is taken in now.
    pub(super) fn admits(&self, site: &str, now: Timestamp) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.as_second().div_euclid(60);
        if memory.minute != minute {
            *memory = Memory { minute, told: std::mem::take(&mut memory.told), ..Memory::default() };
        }
        if memory.of_all >= OF_ALL {
            return false;
        }
        // As many as there are sites in the settings.
        let of_site = memory.of_sites.entry(site.into()).or_default();
        if *of_site >= OF_SITE {
            return false;
        }
        *of_site += 1;
        memory.of_all += 1;
        true
    }

    /// Whether this was not told lately. What does not fit into the memory is counted, and not told.
    pub(super) fn is_news(&self, site: &str, host: &str, directive: &str, now: Timestamp) -> bool {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key: Box<str> = format!("{site} {host} {directive}").into();
        let now = now.as_second();
        if memory.told.get(&key).is_some_and(|at| now - at < SILENCE) {
            return false;
        }
        if memory.told.len() >= MOST {
            memory.told.retain(|_, at| now - *at < SILENCE);
        }
        if memory.told.len() >= MOST {
            return false;
        }
        memory.told.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_flood_of_one_site_leaves_room_for_others_and_ends_with_the_minute() {
        let intake = Intake::default();
        let taken = |site: &str, second| (0..10_000).filter(|_| intake.admits(site, at(second))).count();
        assert_eq!(taken("a", 0), OF_SITE as usize);
        assert_eq!(taken("b", 30), OF_SITE as usize);
        assert_eq!(taken("a", 59), 0);
        assert_eq!(taken("a", 60), OF_SITE as usize);
        let all: usize = (0..100).map(|n| taken(&n.to_string(), 120)).sum();
        assert_eq!(all, OF_ALL as usize);
    }

    #[test]
    fn the_same_is_told_once_an_hour() {
        let intake = Intake::default();
        assert!(intake.is_news("a", "t.example", "img-src", at(0)));
        assert!(!intake.is_news("a", "t.example", "img-src", at(SILENCE - 1)));
        assert!(intake.is_news("a", "t.example", "script-src", at(1)));
        assert!(intake.is_news("b", "t.example", "img-src", at(1)));
        assert!(intake.is_news("a", "t.example", "img-src", at(SILENCE)));
    }

    #[test]
    fn names_that_somebody_makes_up_do_not_fill_the_memory() {
        let intake = Intake::default();
        let told =
            (0..10_000).filter(|n| intake.is_news("a", &format!("{n}.example"), "img-src", at(0))).count();
        assert_eq!(told, MOST);
        assert!(intake.is_news("a", "t.example", "img-src", at(SILENCE + 1)));
    }
}
