//! Certificates on disk, and which of them answers to a name. `tls` puts them in front of connections.

mod pair;
mod validity;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::CertificateFiles;
use crate::clock::Timestamp;
pub use pair::{CertificateFailure, Culprit, Examined, examine};
pub use validity::Validity;

/// The certificates of one listener, which a reload may replace while connections come in.
#[derive(Clone)]
pub struct Certificates(Arc<ArcSwap<Wardrobe>>);

impl Certificates {
    /// Reads the files.
    pub fn load(files: &[CertificateFiles]) -> Result<Self, CertificateFailure> {
        Ok(Certificates(Arc::new(ArcSwap::from_pointee(Wardrobe::load(files)?))))
    }

    /// Reads the files anew; on failure all stays as it was. Connections that stand keep what they have.
    pub fn replace(&self, files: &[CertificateFiles]) -> Result<(), CertificateFailure> {
        self.0.store(Arc::new(Wardrobe::load(files)?));
        Ok(())
    }

    /// When each certificate ends, by its first name; one without a name goes by that of its file.
    pub fn expiries(&self) -> Vec<(Box<str>, Timestamp)> {
        self.0.load().expiries.clone()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.load().by_name.keys()).finish()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load().find(hello.server_name()))
    }
}

/// Certificates by the names they are valid for; a wildcard is kept as `*.example.se`.
struct Wardrobe {
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
    expiries: Vec<(Box<str>, Timestamp)>,
}

impl Wardrobe {
    fn load(files: &[CertificateFiles]) -> Result<Self, CertificateFailure> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut by_name = HashMap::new();
        let mut first = None;
        let mut expiries = Vec::new();
        for files in files {
            let (key, examined) = pair::read(files, &provider)?;
            let file = || files.certificate.display().to_string().into();
            if let Some(validity) = examined.validity {
                let name = examined.names.first().cloned().unwrap_or_else(file);
                expiries.push((name, validity.not_after));
            }
            for name in examined.names {
                by_name.entry(name).or_insert_with(|| Arc::clone(&key));
            }
            first.get_or_insert(key);
        }
        let first = first.ok_or(CertificateFailure::None)?;
        Ok(Wardrobe { by_name, first, expiries })
    }

    /// The certificate of that name, else of the wildcard above it (RFC 6125 section 6.4.3), else the first.
    fn find(&self, server_name: Option<&str>) -> Arc<CertifiedKey> {
        let found = server_name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let wildcard = || format!("*.{}", name.split_once('.').map_or("", |(_, rest)| rest));
            self.by_name.get(name.as_str()).or_else(|| self.by_name.get(wildcard().as_str()))
        });
        Arc::clone(found.unwrap_or(&self.first))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
        let wardrobe = Wardrobe::load(&files).unwrap();
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
            assert_eq!(wardrobe.find(asked).cert, expected, "{asked:?}");
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
        certificates.replace(&files[..1]).unwrap();
        assert_eq!(certificates.expiries().len(), 1);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path(), "good", &["good.example"]);
        let other = written(folder.path(), "other", &["other.example"]);
        let certificates = Certificates::load(std::slice::from_ref(&good)).unwrap();
        let crossed = CertificateFiles { certificate: good.certificate.clone(), key: other.key.clone() };
        assert!(matches!(certificates.replace(&[crossed]), Err(CertificateFailure::Mismatch { .. })));
        assert!(matches!(certificates.replace(&[]), Err(CertificateFailure::None)));
        let missing =
            CertificateFiles { certificate: folder.path().join("none.pem"), key: other.key.clone() };
        assert!(matches!(certificates.replace(&[missing]), Err(CertificateFailure::Read { .. })));
        let keyless = CertificateFiles { certificate: other.key.clone(), key: other.key.clone() };
        assert!(matches!(certificates.replace(&[keyless]), Err(CertificateFailure::Empty { .. })));
        assert!(certificates.0.load().by_name.contains_key("good.example"));
        certificates.replace(&[other]).unwrap();
        assert!(certificates.0.load().by_name.contains_key("other.example"));
    }
}
