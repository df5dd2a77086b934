//! The cookies of the proxy and the envelope that signs them.
//!
//! An envelope is `base64url(key id, 4 bytes | expiry, 8 | payload | HMAC-SHA-256, 32)`. The code covers the
//! cookie's name, the site, the expiry and the payload, so no cookie can be moved to another name or site,
//! or made to live longer. The first secret signs, all of them verify, so that secrets can be changed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::once::{Extent, Grant, Name, Once};
use super::{Acceptance, Categories, Choices, Code, Subject};
use crate::clock::Timestamp;

/// The cookie with a visitor's choices.
pub const CHOICES: &str = "consentry";
/// The cookie with a visitor's acceptances.
pub const ACCEPTED: &str = "consentry_accepted";
/// The cookie that says the browser's Global Privacy Control where no header does. The guard writes it, so it is not
/// signed: whoever forges it refuses.
pub const SIGNAL: &str = "consentry_gpc";
/// The cookie with what a visitor loaded once.
pub const ONCE: &str = "consentry_once";

pub(super) const KEY_ID: usize = 4;
const EXPIRY: usize = 8;
const CODE: usize = 32;
const FORMAT: u8 = 1;
/// That of acceptances which belong to somebody whom the application knows.
const FORMAT_OF_PERSON: u8 = 2;

/// The keys that sign cookies and form tokens, newest first.
pub struct Secrets {
    pub(super) keys: Vec<Key>,
}

pub(super) struct Key {
    pub(super) id: [u8; KEY_ID],
    pub(super) hmac: Hmac<Sha256>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({} keys)", self.keys.len())
    }
}

/// Why a list of secrets cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSecrets {
    /// There is no line with a secret.
    #[error("it holds no secret; write one a line, newest first (`openssl rand -hex 32` makes one)")]
    Empty,
    /// A secret is shorter than 32 characters.
    #[error("the secret on line {0} is too short; use at least 32 random characters")]
    TooShort(usize),
}

impl Secrets {
    /// Reads secrets, one a line, newest first. Blank lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, BadSecrets> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() < 32 {
                return Err(BadSecrets::TooShort(index + 1));
            }
            keys.push(Key::new(line.as_bytes()));
        }
        if keys.is_empty() { Err(BadSecrets::Empty) } else { Ok(Secrets { keys }) }
    }

    /// Signs `payload` for the cookie `name` of `site`; it is void after `expires`.
    pub fn sign(&self, name: &str, site: &str, expires: Timestamp, payload: &[u8]) -> String {
        let Some(key) = self.keys.first() else { return String::new() };
        let mut envelope = Vec::with_capacity(KEY_ID + EXPIRY + payload.len() + CODE);
        envelope.extend_from_slice(&key.id);
        envelope.extend_from_slice(&expires.as_second().to_be_bytes());
        envelope.extend_from_slice(payload);
        let code = key.code(name, site, &expires.as_second().to_be_bytes(), payload).finalize().into_bytes();
        envelope.extend_from_slice(&code);
        URL_SAFE_NO_PAD.encode(envelope)
    }

    /// The payload of an envelope, or nothing where it is forged, foreign, damaged or expired.
    pub fn verify(&self, name: &str, site: &str, now: Timestamp, value: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let envelope = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (id, rest) = envelope.split_at_checked(KEY_ID)?;
        let (expires, rest) = rest.split_at_checked(EXPIRY)?;
        let (payload, code) = rest.split_at_checked(rest.len().checked_sub(CODE)?)?;
        let key = self.keys.iter().find(|key| key.id == id)?;
        key.code(name, site, expires, payload).verify_slice(code).ok()?;
        let expires = i64::from_be_bytes(expires.try_into().ok()?);
        (now.as_second() < expires).then(|| payload.to_vec())
    }

    /// Keys for another purpose, each with the id of its secret, in the order of the secrets. Who learns one of them
    /// learns nothing of the secrets, nor of the keys for any other purpose.
    pub fn derive(&self, purpose: &str) -> Vec<([u8; KEY_ID], [u8; CODE])> {
        let derived = |key: &Key| {
            let mut code = key.hmac.clone();
            for part in [b"derive".as_slice(), purpose.as_bytes()] {
                code.update(&(part.len() as u64).to_be_bytes());
                code.update(part);
            }
            (key.id, code.finalize().into_bytes().into())
        };
        self.keys.iter().map(derived).collect()
    }

    /// A keyed hash of `parts` under the newest secret: for form tokens that name what they are bound to.
    pub fn token(&self, parts: &[&str]) -> String {
        self.keys.first().map(|key| key.token(parts)).unwrap_or_default()
    }

    /// Whether `token` was made from `parts` under any of the secrets.
    pub fn confirms(&self, token: &str, parts: &[&str]) -> bool {
        let Ok(code) = URL_SAFE_NO_PAD.decode(token) else { return false };
        self.keys.iter().any(|key| key.keyed(parts).verify_slice(&code).is_ok())
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let mut id = [0; KEY_ID];
        id.iter_mut().zip(Sha256::digest(secret)).for_each(|(to, from)| *to = from);
        let hmac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
        Key { id, hmac }
    }

    fn code(&self, name: &str, site: &str, expires: &[u8], payload: &[u8]) -> Hmac<Sha256> {
        let mut code = self.hmac.clone();
        // Lengths go first, so that no two lists of parts run together into the same bytes.
        for part in [b"cookie".as_slice(), name.as_bytes(), site.as_bytes(), expires, payload] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        code
    }

    fn keyed(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut code = self.hmac.clone();
        for part in std::iter::once(&"token").chain(parts) {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part.as_bytes());
        }
        code
    }

    fn token(&self, parts: &[&str]) -> String {
        URL_SAFE_NO_PAD.encode(self.keyed(parts).finalize().into_bytes())
    }
}

impl Choices {
    /// The payload of the `consentry` cookie.
    pub fn to_payload(&self) -> Vec<u8> {
        let mut payload = vec![FORMAT];
        payload.extend_from_slice(self.subject.0.as_bytes());
        payload.push(self.categories.bits());
        payload.push(u8::from(self.under_signal));
        payload.extend_from_slice(&self.made_at.as_second().to_be_bytes());
        payload.extend_from_slice(self.receipt.unwrap_or_default().as_bytes());
        for service in &self.services {
            push_text(&mut payload, service);
        }
        payload
    }

    /// Choices from a verified payload; nothing where it is of another format.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut rest = Reader(payload);
        if rest.byte()? != FORMAT {
            return None;
        }
        let subject = Subject(rest.uuid()?);
        let categories = Categories::from_bits(rest.byte()?);
        let under_signal = rest.byte()? != 0;
        let made_at = rest.time()?;
        let receipt = rest.uuid().filter(|id| !id.is_nil());
        let mut services = std::collections::BTreeSet::new();
        while !rest.0.is_empty() {
            services.insert(rest.text()?);
        }
        Some(Choices { subject, categories, services, made_at, receipt, under_signal })
    }
}

impl Once {
    /// The payload of the `consentry_once` cookie.
    pub fn to_payload(&self) -> Vec<u8> {
        let mut payload = vec![FORMAT];
        payload.extend_from_slice(self.subject.0.as_bytes());
        for grant in &self.grants {
            push_text(&mut payload, &grant.service);
            payload.extend_from_slice(grant.page.as_bytes());
            let (kind, embed) = match grant.extent {
                Extent::Page => (0, [0; 8]),
                Extent::Embed(name) => (1, *name.as_bytes()),
            };
            payload.push(kind);
            payload.extend_from_slice(&embed);
            payload.extend_from_slice(&grant.until.as_second().to_be_bytes());
        }
        payload
    }

    /// What was loaded once, from a verified payload; nothing where it is of another format.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let mut rest = Reader(payload);
        if rest.byte()? != FORMAT {
            return None;
        }
        let subject = Subject(rest.uuid()?);
        let mut grants = Vec::new();
        while !rest.0.is_empty() {
            let service = rest.text()?;
            let page = Name::from_bytes(rest.take()?);
            let (kind, embed) = (rest.byte()?, Name::from_bytes(rest.take()?));
            let extent = if kind == 0 { Extent::Page } else { Extent::Embed(embed) };
            grants.push(Grant { service, page, extent, until: rest.time()? });
        }
        Some(Once { subject, grants })
    }
}

/// What the `consentry_accepted` cookie says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Whose browser it is.
    pub subject: Subject,
    /// Who had logged in with it, where the site ties acceptances to that.
    pub person: Option<Code>,
    /// What they accepted.
    pub acceptances: Vec<Acceptance>,
}

/// The payload of the `consentry_accepted` cookie: who accepted, and what.
pub fn acceptances_to_payload(
    subject: Subject,
    person: Option<&Code>,
    acceptances: &[Acceptance],
) -> Vec<u8> {
    let mut payload = vec![if person.is_some() { FORMAT_OF_PERSON } else { FORMAT }];
    payload.extend_from_slice(subject.0.as_bytes());
    payload.extend_from_slice(person.map(|code| &code[..]).unwrap_or_default());
    for acceptance in acceptances {
        push_text(&mut payload, &acceptance.document);
        payload.extend_from_slice(&acceptance.version);
        payload.extend_from_slice(acceptance.receipt.as_bytes());
        payload.extend_from_slice(&acceptance.accepted_at.as_second().to_be_bytes());
    }
    payload
}

/// Acceptances from a verified payload; nothing where it is of another format.
pub fn acceptances_from_payload(payload: &[u8]) -> Option<Accepted> {
    let mut rest = Reader(payload);
    let format = rest.byte()?;
    if !matches!(format, FORMAT | FORMAT_OF_PERSON) {
        return None;
    }
    let subject = Subject(rest.uuid()?);
    let person = if format == FORMAT_OF_PERSON { Some(rest.take()?) } else { None };
    let mut acceptances = Vec::new();
    while !rest.0.is_empty() {
        acceptances.push(Acceptance {
            document: rest.text()?,
            version: rest.take()?,
            receipt: rest.uuid()?,
            accepted_at: rest.time()?,
        });
    }
    Some(Accepted { subject, person, acceptances })
}

fn push_text(payload: &mut Vec<u8>, text: &str) {
    let text = text.as_bytes();
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    payload.push(length);
    payload.extend(text.iter().take(usize::from(length)));
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    fn time(&mut self) -> Option<Timestamp> {
        Timestamp::from_second(i64::from_be_bytes(self.take()?)).ok()
    }

    fn text(&mut self) -> Option<Box<str>> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn choices() -> Choices {
        Choices {
            subject: Subject(Uuid::from_u128(7)),
            categories: Categories::from_bits(0b10),
            services: ["youtube".into(), "vimeo".into()].into(),
            made_at: at(1_000),
            receipt: Some(Uuid::from_u128(9)),
            under_signal: true,
        }
    }

    #[test]
    fn what_was_signed_comes_back_until_it_expires() {
        let secrets = Secrets::parse(NEW).unwrap();
        let value = secrets.sign(CHOICES, "shop", at(50), b"payload");
        assert_eq!(secrets.verify(CHOICES, "shop", at(49), &value).as_deref(), Some(b"payload".as_slice()));
        assert_eq!(secrets.verify(CHOICES, "shop", at(50), &value), None);
    }

    #[test]
    fn c20_c47_an_envelope_of_another_cookie_or_site_counts_as_absent() {
        let secrets = Secrets::parse(NEW).unwrap();
        let value = secrets.sign(CHOICES, "shop", at(50), b"payload");
        assert_eq!(secrets.verify(ACCEPTED, "shop", at(0), &value), None);
        assert_eq!(secrets.verify(CHOICES, "other", at(0), &value), None);
    }

    #[test]
    fn c47_every_flipped_bit_makes_the_envelope_void() {
        let secrets = Secrets::parse(NEW).unwrap();
        let value = URL_SAFE_NO_PAD.decode(secrets.sign(CHOICES, "shop", at(50), b"payload")).unwrap();
        for bit in 0..value.len() * 8 {
            let mut forged = value.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = URL_SAFE_NO_PAD.encode(forged);
            assert_eq!(secrets.verify(CHOICES, "shop", at(0), &forged), None, "bit {bit}");
        }
    }

    #[test]
    fn an_older_secret_still_verifies_after_a_new_one_is_put_first() {
        let value = Secrets::parse(OLD).unwrap().sign(CHOICES, "shop", at(50), b"payload");
        let both = Secrets::parse(&format!("# newest first\n{NEW}\n\n{OLD}\n")).unwrap();
        assert!(both.verify(CHOICES, "shop", at(0), &value).is_some());
        assert!(Secrets::parse(NEW).unwrap().verify(CHOICES, "shop", at(0), &value).is_none());
    }

    #[test]
    fn a_token_is_bound_to_each_of_its_parts() {
        let secrets = Secrets::parse(NEW).unwrap();
        let token = secrets.token(&["privacy", "v1"]);
        assert!(secrets.confirms(&token, &["privacy", "v1"]));
        assert!(!secrets.confirms(&token, &["privac", "yv1"]));
        assert!(!secrets.confirms("", &["privacy", "v1"]));
    }

    #[test]
    fn secrets_that_protect_nothing_are_refused() {
        assert_eq!(Secrets::parse("\n# only a remark\n").unwrap_err(), BadSecrets::Empty);
        assert_eq!(Secrets::parse(&format!("{NEW}\nshort")).unwrap_err(), BadSecrets::TooShort(2));
    }

    #[test]
    fn choices_and_acceptances_survive_the_cookie() {
        assert_eq!(Choices::from_payload(&choices().to_payload()), Some(choices()));
        let accepted = vec![Acceptance {
            document: "privacy".into(),
            version: [3; 16],
            receipt: Uuid::from_u128(5),
            accepted_at: at(77),
        }];
        let subject = Subject(Uuid::from_u128(1));
        for person in [None, Some([9; 32])] {
            let payload = acceptances_to_payload(subject, person.as_ref(), &accepted);
            let acceptances = accepted.clone();
            assert_eq!(acceptances_from_payload(&payload), Some(Accepted { subject, person, acceptances }));
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(value in ".{0,200}", payload in proptest::collection::vec(any::<u8>(), 0..120)) {
            let secrets = Secrets::parse(NEW).unwrap();
            prop_assert_eq!(secrets.verify(CHOICES, "shop", at(0), &value), None);
            let _ = Choices::from_payload(&payload);
            let _ = acceptances_from_payload(&payload);
        }
    }
}
