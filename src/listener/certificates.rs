//! Certificates on disk, and which of them answers to a name. `tls` puts them in front of connections.

mod pair;
mod validity;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::CertificateFiles;
use crate::clock::Timestamp;
pub use pair::{CertificateFailure, Culprit, Examined, examine};
pub use validity::Validity;

/// The bytes of a plain file: a pipe would give them once or never, a device without an end.
pub fn plain(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    std::fs::read(path)
}

/// The certificates of one listener, which a reload may replace while connections come in.
#[derive(Clone)]
pub struct Certificates(Arc<ArcSwap<Wardrobe>>);

impl Certificates {
    /// Reads the files, all of which must be good.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, CertificateFailure> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pairs = files.iter().map(|files| Pair::read(files, &provider)).collect::<Result<_, _>>()?;
        Ok(Certificates(Arc::new(ArcSwap::from_pointee(Wardrobe::of(pairs)?))))
    }

    /// Reads the files anew, and tells what is wrong with them: in the place of a pair that cannot be used stays what those files
    /// held before, and the others are as they are now. Connections that stand keep what they have.
    pub fn replace(&self, files: &[CertificateFiles]) -> Vec<CertificateFailure> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let before = self.0.load();
        let (mut pairs, mut failures, mut is_missing) = (Vec::new(), Vec::new(), false);
        for files in files {
            match Pair::read(files, &provider) {
                Ok(pair) => pairs.push(pair),
                Err(failure) => {
                    let old = before.pairs.iter().find(|pair| pair.files == *files);
                    is_missing |= old.is_none();
                    pairs.extend(old.cloned());
                    failures.push(failure);
                }
            }
        }
        if is_missing {
            // A pair that was to take the place of another one's: its names are not to be lost.
            let dropped = before.pairs.iter().filter(|pair| !files.contains(&pair.files));
            pairs.extend(dropped.cloned());
        }
        match Wardrobe::of(pairs) {
            Ok(wardrobe) => self.0.store(Arc::new(wardrobe)),
            Err(none) => failures.push(none),
        }
        failures
    }

    /// When each certificate ends, by its first name; one without a name goes by that of its file.
    pub fn expiries(&self) -> Vec<(Box<str>, Timestamp)> {
        self.0.load().pairs.iter().filter_map(Pair::expiry).collect()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.load().by_name.keys()).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let wardrobe = self.0.load();
        let fitting = wardrobe.find(hello.server_name());
        // Of several kinds of keys for one name, the first that the client can verify.
        let can_verify =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        fitting.iter().find(can_verify).or(fitting.first()).cloned()
    }
}

/// A certificate and its key.
#[derive(Clone)]
struct Pair {
    files: CertificateFiles,
    key: Arc<CertifiedKey>,
    names: Vec<Box<str>>,
    validity: Option<Validity>,
}

impl Pair {
    fn read(files: &CertificateFiles, provider: &CryptoProvider) -> Result<Self, CertificateFailure> {
        let (key, Examined { names, validity, .. }) = pair::read(files, provider)?;
        Ok(Pair { files: files.clone(), key, names, validity })
    }

    fn expiry(&self) -> Option<(Box<str>, Timestamp)> {
        let file = || self.files.certificate.display().to_string().into();
        let name = self.names.first().cloned().unwrap_or_else(file);
        Some((name, self.validity.as_ref()?.not_after))
    }
}

/// Certificates by the names they are valid for; a wildcard is kept as `*.example.se`.
struct Wardrobe {
    /// Never empty.
    pairs: Vec<Pair>,
    /// Those of a name, in the order in which they are written.
    by_name: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    all: Vec<Arc<CertifiedKey>>,
}

impl Wardrobe {
    fn of(pairs: Vec<Pair>) -> Result<Self, CertificateFailure> {
        if pairs.is_empty() {
            return Err(CertificateFailure::None);
        }
        let mut by_name = HashMap::<Box<str>, Vec<_>>::new();
        for pair in &pairs {
            for name in &pair.names {
                by_name.entry(name.clone()).or_default().push(Arc::clone(&pair.key));
            }
        }
        let all = pairs.iter().map(|pair| Arc::clone(&pair.key)).collect();
        Ok(Wardrobe { pairs, by_name, all })
    }

    /// The certificates of that name, else those of the wildcard above it (RFC 6125 section 6.4.3), else all.
    fn find(&self, server_name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let found = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || format!("*.{}", name.split_once('.').map_or("", |(_, rest)| rest));
            self.by_name.get(name.as_str()).or_else(|| self.by_name.get(wildcard().as_str()))
        });
        found.unwrap_or(&self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, hosts: &[&str]) -> CertificateFiles {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let made = rcgen::generate_simple_self_signed(hosts).unwrap();
        let files = CertificateFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn the_name_decides_then_the_wildcard_then_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let files = [
            written(folder.path(), "first", &["first.example"]),
            written(folder.path(), "exact", &["www.shop.example"]),
            written(folder.path(), "wild", &["*.shop.example"]),
        ];
        let certificates = Certificates::load(&files).unwrap();
        let wardrobe = certificates.0.load();
        for (asked, expected) in [
            (Some("www.shop.example"), 1),
            (Some("WWW.shop.example"), 1),
            (Some("img.shop.example"), 2),
            (Some("a.img.shop.example"), 0),
            (Some("shop.example"), 0),
            (Some("localhost"), 0),
            (None, 0),
        ] {
            let expected = pair::chain(&files[expected].certificate).unwrap();
            assert_eq!(wardrobe.find(asked)[0].cert, expected, "{asked:?}");
        }
    }

    #[test]
    fn it_is_known_when_each_certificate_ends() {
        let folder = tempfile::tempdir().unwrap();
        let files =
            [written(folder.path(), "b", &["b.example", "c.example"]), written(folder.path(), "a", &[])];
        let nameless = files[1].certificate.display().to_string();
        // What the test kit's maker of certificates writes as their end.
        let end: Timestamp = "4096-01-01T00:00:00Z".parse().unwrap();
        let certificates = Certificates::load(&files).unwrap();
        assert_eq!(certificates.expiries(), [("b.example".into(), end), (nameless.into(), end)]);
        assert!(certificates.replace(&files[..1]).is_empty());
        assert_eq!(certificates.expiries().len(), 1);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path(), "good", &["good.example"]);
        let other = written(folder.path(), "other", &["other.example"]);
        let certificates = Certificates::load(std::slice::from_ref(&good)).unwrap();
        let crossed = CertificateFiles { certificate: good.certificate.clone(), key: other.key.clone() };
        assert!(matches!(*certificates.replace(&[crossed]), [CertificateFailure::Mismatch { .. }]));
        assert!(matches!(*certificates.replace(&[]), [CertificateFailure::None]));
        let missing =
            CertificateFiles { certificate: folder.path().join("none.pem"), key: other.key.clone() };
        assert!(matches!(*certificates.replace(&[missing]), [CertificateFailure::Read { .. }]));
        let keyless = CertificateFiles { certificate: other.key.clone(), key: other.key.clone() };
        assert!(matches!(*certificates.replace(&[keyless]), [CertificateFailure::Empty { .. }]));
        assert!(certificates.0.load().by_name.contains_key("good.example"));
        assert!(certificates.replace(&[other]).is_empty());
        let names: Vec<_> = certificates.0.load().by_name.keys().cloned().collect();
        assert_eq!(names, ["other.example".into()]);
    }

    #[test]
    fn one_pair_that_cannot_be_used_keeps_no_other_from_being_renewed() {
        let folder = tempfile::tempdir().unwrap();
        let one = written(folder.path(), "one", &["one.example"]);
        let two = written(folder.path(), "two", &["two.example"]);
        let certificates = Certificates::load(&[one.clone(), two.clone()]).unwrap();
        let shown = |name| certificates.0.load().find(Some(name))[0].cert.clone();
        let before = [shown("one.example"), shown("two.example")];
        written(folder.path(), "one", &["one.example"]);
        std::fs::write(&two.certificate, "spoilt").unwrap();
        assert_eq!(certificates.replace(&[one.clone(), two.clone()]).len(), 1);
        assert_ne!(shown("one.example"), before[0], "renewed");
        assert_eq!(shown("two.example"), before[1], "what it was");
        // Nor is a name lost where the settings lead to another file, which is not good.
        let elsewhere = CertificateFiles { certificate: folder.path().join("none.pem"), ..two };
        assert_eq!(certificates.replace(&[one, elsewhere]).len(), 1);
        assert_eq!(shown("two.example"), before[1]);
    }
}
