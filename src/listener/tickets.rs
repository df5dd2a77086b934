//! The keys of TLS tickets, with which browsers go on with a session of before instead of a whole new handshake.
//!
//! All listeners share them, and the process that replaces this one is given them: they never lie on a disk. A key
//! makes tickets for six hours and is forgotten after twelve, and with it whatever it could open.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::server::ProducesTickets;

use crate::clock::Clock;

/// Seconds for which a key makes tickets.
const RENEWED_AFTER: i64 = 6 * 60 * 60;

/// Seconds for which a key opens them.
const FORGOTTEN_AFTER: u32 = 12 * 60 * 60;

/// Ours have some 200 bytes; nobody makes us look through more than this.
const MOST: usize = 4096;

const SECRET: usize = 32;

/// The keys, the newest first. Clones share them.
#[derive(Clone)]
pub struct Tickets {
    clock: Clock,
    keys: Arc<Mutex<Vec<Key>>>,
}

struct Key {
    /// In Unix time.
    made: i64,
    secret: [u8; SECRET],
    aead: RandomizedNonceKey,
}

impl Tickets {
    /// No keys yet: the first ticket makes one.
    pub fn new(clock: Clock) -> Self {
        Tickets { clock, keys: Arc::default() }
    }

    /// Those that another process has [written](Tickets::written); what is none of them is left out.
    pub fn read(clock: Clock, written: &str) -> Self {
        let keys = written.lines().filter_map(Key::read).collect();
        Tickets { clock, keys: Arc::new(Mutex::new(keys)) }
    }

    /// Secret: what the process that replaces this one needs to open the tickets of this one.
    pub fn written(&self) -> String {
        self.usable().iter().map(Key::written).collect()
    }

    /// The keys that are not to be forgotten.
    fn usable(&self) -> MutexGuard<'_, Vec<Key>> {
        // Each change is one step; a panic elsewhere leaves none half done.
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        keys.retain(|key| key.is_younger(now, FORGOTTEN_AFTER.into()));
        keys
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        FORGOTTEN_AFTER
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut keys = self.usable();
        let now = self.now();
        if !keys.first().is_some_and(|key| key.is_younger(now, RENEWED_AFTER)) {
            keys.insert(0, Key::new(now)?);
        }
        let mut sealed = plain.to_vec();
        let nonce = keys.first()?.aead.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
        let ticket = [&nonce.as_ref()[..], &sealed].concat();
        (ticket.len() <= MOST).then_some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        if ticket.len() > MOST {
            return None;
        }
        self.usable().iter().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut plain = sealed.to_vec();
            let length = key.aead.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
            plain.truncate(length);
            Some(plain)
        })
    }
}

impl Key {
    fn new(made: i64) -> Option<Self> {
        let mut secret = [0; SECRET];
        getrandom::fill(&mut secret).ok()?;
        Key::of(made, secret)
    }

    fn of(made: i64, secret: [u8; SECRET]) -> Option<Self> {
        let aead = RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?;
        Some(Key { made, secret, aead })
    }

    fn read(line: &str) -> Option<Self> {
        let (made, secret) = line.split_once(' ')?;
        let secret = STANDARD.decode(secret).ok()?;
        Key::of(made.parse().ok()?, secret.try_into().ok()?)
    }

    fn written(&self) -> String {
        format!("{} {}\n", self.made, STANDARD.encode(self.secret))
    }

    /// Whether it was made in the last `seconds`. Where the clock was set back, nobody knows, and it was not.
    fn is_younger(&self, now: i64, seconds: i64) -> bool {
        (0..seconds).contains(&(now - self.made))
    }
}

/// Says nothing of the keys.
impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60;

    fn tickets() -> Tickets {
        Tickets::new(Clock::fixed(1_000_000))
    }

    #[test]
    fn a_ticket_opens_as_it_was_made_and_not_when_a_bit_of_it_is_another() {
        let tickets = tickets();
        let ticket = tickets.encrypt(b"a session").unwrap();
        assert!(!ticket.windows(7).any(|window| window == b"session"));
        assert_ne!(tickets.encrypt(b"a session").unwrap(), ticket);
        assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        for index in 0..ticket.len() {
            let mut forged = ticket.clone();
            forged[index] ^= 1;
            assert_eq!(tickets.decrypt(&forged), None, "{index}");
            assert_eq!(tickets.decrypt(&ticket[..index]), None, "{index}");
        }
        assert_eq!(tickets.decrypt(&vec![0; MOST + 1]), None);
        assert_eq!(tickets.encrypt(&vec![0; MOST]), None);
    }

    #[test]
    fn a_key_is_replaced_after_six_hours_and_forgotten_after_twelve() {
        let tickets = tickets();
        let first = tickets.encrypt(b"first").unwrap();
        tickets.clock.advance(6 * HOUR - 1);
        let still_first = tickets.encrypt(b"still first").unwrap();
        tickets.clock.advance(1);
        let second = tickets.encrypt(b"second").unwrap();
        assert!(tickets.decrypt(&first).is_some());
        tickets.clock.advance(6 * HOUR);
        assert_eq!((tickets.decrypt(&first), tickets.decrypt(&still_first)), (None, None));
        assert!(tickets.decrypt(&second).is_some());
        assert_eq!(tickets.written().lines().count(), 1, "what is forgotten is handed on to nobody");
    }

    #[test]
    fn another_process_opens_them_with_the_keys_that_were_written() {
        let one = tickets();
        let old = one.encrypt(b"old").unwrap();
        one.clock.advance(7 * HOUR);
        let new = one.encrypt(b"new").unwrap();
        let other = Tickets::read(one.clock.clone(), &one.written());
        assert_eq!(other.decrypt(&old).as_deref(), Some(&b"old"[..]));
        assert_eq!(other.decrypt(&new).as_deref(), Some(&b"new"[..]));
        assert!(
            one.decrypt(&other.encrypt(b"back").unwrap()).is_some(),
            "the newest makes the tickets of both"
        );
        assert_eq!(Tickets::new(one.clock.clone()).decrypt(&new), None);
    }

    #[test]
    fn what_is_no_key_is_left_out() {
        for written in ["", "\n", "1000000", "x eA==", "1000000 eA==", "1000000 !", "\u{fffd} \u{fffd}"] {
            let tickets = Tickets::read(Clock::fixed(1_000_000), written);
            assert_eq!(tickets.written(), "", "{written:?}");
            assert!(tickets.encrypt(b"a session").is_some(), "{written:?}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_new_key() {
        let tickets = tickets();
        let ticket = tickets.encrypt(b"a session").unwrap();
        tickets.clock.advance(-HOUR);
        assert_eq!(tickets.decrypt(&ticket), None);
        assert!(tickets.encrypt(b"another").is_some());
    }
}
