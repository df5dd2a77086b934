//! Sealing: what a visitor's browser keeps for us, and can neither read nor change.
//!
//! An envelope is `key id, 4 bytes | salt, 16 | AES-256-GCM`. Each envelope has a key of its own, made from the
//! secret, the purpose, the site and the salt, so no two of them share a nonce, and none can be moved to another
//! purpose or site. The first secret seals, all of them open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::Mac;

use super::cookie::{KEY_ID, Key, Secrets};

const SALT: usize = 16;

impl Secrets {
    /// Seals `content`. No two contents may share a `salt`: draw it at random.
    pub fn seal(&self, purpose: &str, site: &str, salt: [u8; SALT], mut content: Vec<u8>) -> Option<Vec<u8>> {
        let key = self.keys.first()?;
        let aead = key.aead(purpose, site, &salt)?;
        aead.seal_in_place_append_tag(nonce(), Aad::empty(), &mut content).ok()?;
        Some([&key.id[..], &salt, &content].concat())
    }

    /// The salt and the content of an envelope; nothing where it is forged, foreign or damaged.
    pub fn open(&self, purpose: &str, site: &str, mut envelope: Vec<u8>) -> Option<([u8; SALT], Vec<u8>)> {
        let (head, _) = envelope.split_at_checked(KEY_ID + SALT)?;
        let (id, salt) = head.split_at(KEY_ID);
        let salt: [u8; SALT] = salt.try_into().ok()?;
        let key = self.keys.iter().find(|key| key.id == id)?;
        let aead = key.aead(purpose, site, &salt)?;
        let mut content = envelope.split_off(KEY_ID + SALT);
        let length = aead.open_in_place(nonce(), Aad::empty(), &mut content).ok()?.len();
        content.truncate(length);
        Some((salt, content))
    }
}

/// Each key seals once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

impl Key {
    fn aead(&self, purpose: &str, site: &str, salt: &[u8]) -> Option<LessSafeKey> {
        let mut code = self.hmac.clone();
        for part in [b"seal".as_slice(), purpose.as_bytes(), site.as_bytes(), salt] {
            code.update(&(part.len() as u64).to_be_bytes());
            code.update(part);
        }
        let key = UnboundKey::new(&AES_256_GCM, &code.finalize().into_bytes()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn sealed() -> Vec<u8> {
        Secrets::parse(OLD).unwrap().seal("form", "shop", [7; SALT], b"a secret".to_vec()).unwrap()
    }

    #[test]
    fn what_was_sealed_is_unreadable_and_comes_back_whole() {
        let envelope = sealed();
        assert!(!envelope.windows(6).any(|window| window == b"secret"));
        let both = Secrets::parse(&format!("{NEW}\n{OLD}")).unwrap();
        assert_eq!(both.open("form", "shop", envelope), Some(([7; SALT], b"a secret".to_vec())));
    }

    #[test]
    fn an_envelope_that_was_touched_or_moved_does_not_open() {
        let secrets = Secrets::parse(OLD).unwrap();
        for bit in 0..sealed().len() * 8 {
            let mut forged = sealed();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(secrets.open("form", "shop", forged), None, "bit {bit}");
        }
        for length in 0..sealed().len() {
            assert_eq!(secrets.open("form", "shop", sealed()[..length].to_vec()), None, "{length} bytes");
        }
        assert_eq!(secrets.open("other", "shop", sealed()), None);
        assert_eq!(secrets.open("form", "other", sealed()), None);
        assert_eq!(Secrets::parse(NEW).unwrap().open("form", "shop", sealed()), None);
    }
}
