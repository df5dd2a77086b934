//! Who somebody is to the application, as a keyed hash: the same on every device, and of no use to anybody else.

use hmac::Mac;

use super::cookie::{Key, Secrets};

/// A keyed hash of who somebody is to the application of one site.
pub type Code = [u8; 32];

/// Somebody whom the application knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Under the newest secret.
    newest: Code,
    /// Under the older ones.
    older: Box<[Code]>,
}

impl Identity {
    /// Somebody of whom one code alone is known.
    pub fn of(code: Code) -> Self {
        Identity { newest: code, older: Box::default() }
    }

    /// What new entries of the ledger and cookies say.
    pub fn newest(&self) -> Code {
        self.newest
    }

    /// All that earlier ones may say, the newest first.
    pub fn codes(&self) -> impl Iterator<Item = &Code> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// Whether a code is theirs.
    pub fn covers(&self, code: &Code) -> bool {
        self.codes().any(|own| own == code)
    }
}

impl Secrets {
    /// Who `written` is to the application of a site; nobody where nothing is written. Secrets that are put first
    /// change nothing as long as the older ones stay.
    pub fn identity(&self, site: &str, written: &[u8]) -> Option<Identity> {
        if written.is_empty() {
            return None;
        }
        let mut codes = self.keys.iter().map(|key| key.person(site, written));
        Some(Identity { newest: codes.next()?, older: codes.collect() })
    }
}

impl Key {
    fn person(&self, site: &str, written: &[u8]) -> Code {
        let mut code = self.hmac.clone();
        for part in [b"identity".as_slice(), site.as_bytes(), written] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        code.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn identity(secrets: &str, site: &str, written: &str) -> Option<Identity> {
        Secrets::parse(secrets).unwrap().identity(site, written.as_bytes())
    }

    #[test]
    fn one_person_is_the_same_on_every_device_and_another_on_every_site() {
        assert_eq!(identity(OLD, "shop", "anna"), identity(OLD, "shop", "anna"));
        for (secrets, site, written) in [(OLD, "shop", "Anna"), (OLD, "other", "anna"), (NEW, "shop", "anna")]
        {
            let other = identity(secrets, site, written).unwrap();
            assert!(!identity(OLD, "shop", "anna").unwrap().covers(&other.newest()), "{site} {written}");
        }
        assert_eq!(identity(OLD, "shop", ""), None);
    }

    #[test]
    fn a_new_secret_knows_whom_the_older_one_knew() {
        let before = identity(OLD, "shop", "anna").unwrap();
        let after = identity(&format!("{NEW}\n{OLD}"), "shop", "anna").unwrap();
        assert!(after.covers(&before.newest()) && after.newest() != before.newest());
    }
}
