//! Who is logged in, and what lies in their cart; known by `PHPSESSID`, as ever.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use uuid::Uuid;

/// What takes the cookie back.
pub(super) const GONE: &str = "PHPSESSID=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/";

/// As many customers as the shop remembers; the oldest are forgotten first.
const MOST_SESSIONS: usize = 1_000;

/// As many pictures as a cart holds.
const MOST_PICTURES: usize = 50;

/// What the shop remembers of a customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    /// The name they logged in with, or registered under.
    pub(super) name: Option<String>,
    /// Numbers of pictures.
    pub(super) cart: Vec<u8>,
}

impl Session {
    /// Puts a picture into the cart, as long as there is room.
    pub(super) fn put(&mut self, picture: u8) {
        if self.cart.len() < MOST_PICTURES {
            self.cart.push(picture);
        }
    }
}

/// All sessions, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Registers(Mutex<VecDeque<(String, Session)>>);

impl Registers {
    /// The session of this key, or a new one.
    pub(super) fn find(&self, key: Option<&str>) -> Session {
        self.open()
            .iter()
            .find(|(known, _)| Some(known.as_str()) == key)
            .map(|(_, kept)| kept.clone())
            .unwrap_or_default()
    }

    /// Keeps `session` under the key of the one it follows, else under a new key, and tells which.
    pub(super) fn keep(&self, key: Option<&str>, session: Session) -> String {
        let mut sessions = self.open();
        if let Some((known, kept)) = sessions.iter_mut().find(|(known, _)| Some(known.as_str()) == key) {
            *kept = session;
            return known.clone();
        }
        if sessions.len() >= MOST_SESSIONS {
            sessions.pop_front();
        }
        let fresh = Uuid::now_v7().simple().to_string();
        sessions.push_back((fresh.clone(), session));
        fresh
    }

    /// Ends the session of this key.
    pub(super) fn forget(&self, key: Option<&str>) {
        self.open().retain(|(known, _)| Some(known.as_str()) != key);
    }

    fn open(&self) -> MutexGuard<'_, VecDeque<(String, Session)>> {
        // A panic elsewhere leaves the list whole: every change of it is a single step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's key in a `Cookie` header.
pub(super) fn key_in(header: Option<&HeaderValue>) -> Option<String> {
    let pairs = header?.to_str().ok()?.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.into_iter().find(|(name, _)| *name == "PHPSESSID").map(|(_, value)| value.to_owned())
}

/// What sets the cookie, the way PHP did.
pub(super) fn cookie(key: &str) -> String {
    format!("PHPSESSID={key}; path=/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_the_clients_own_making_opens_no_session() {
        let registers = Registers::default();
        let key = registers.keep(Some("made-up"), Session { name: Some("kund".into()), cart: vec![1] });
        assert_ne!(key, "made-up");
        assert_eq!(registers.find(Some("made-up")), Session::default());
        assert_eq!(registers.find(Some(&key)).cart, [1]);
    }

    #[test]
    fn the_shop_remembers_no_more_than_it_has_room_for() {
        let registers = Registers::default();
        let first = registers.keep(None, Session { name: Some("kund".into()), cart: Vec::new() });
        for _ in 0..MOST_SESSIONS {
            registers.keep(None, Session::default());
        }
        assert_eq!(registers.find(Some(&first)), Session::default());
        assert_eq!(registers.open().len(), MOST_SESSIONS);
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let header = HeaderValue::from_static("__utma=1; PHPSESSID=abc; consentry=x");
        assert_eq!(key_in(Some(&header)).as_deref(), Some("abc"));
        assert_eq!(key_in(Some(&HeaderValue::from_static("XPHPSESSID=abc"))), None);
    }
}
