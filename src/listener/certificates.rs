//! Certificates on disk, and which of them answers to a name. `tls` puts them in front of connections.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::CertificateFiles;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFailure {
    /// The file cannot be read, or is no PEM.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or one of them is malformed.
    #[error("{} and {} cannot be used together", certificate.display(), key.display())]
    Unusable {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
    /// A listener with TLS names no certificate at all.
    #[error("no certificate is given")]
    None,
}

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
}

impl Wardrobe {
    fn load(files: &[CertificateFiles]) -> Result<Self, CertificateFailure> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let mut keys =
            files.iter().map(|files| read(files, &provider)).collect::<Result<Vec<_>, _>>()?.into_iter();
        let first = keys.next().ok_or(CertificateFailure::None)?;
        let mut by_name = HashMap::new();
        for key in std::iter::once(Arc::clone(&first)).chain(keys) {
            for name in names(&key) {
                by_name.entry(name).or_insert_with(|| Arc::clone(&key));
            }
        }
        Ok(Wardrobe { by_name, first })
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

fn read(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, CertificateFailure> {
    let chain = chain(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|source| CertificateFailure::Read { path: files.key.clone(), source })?;
    let unusable = |source| CertificateFailure::Unusable {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(unusable)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFailure> {
    let unreadable = |source| CertificateFailure::Read { path: path.to_owned(), source };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    if chain.is_empty() { Err(CertificateFailure::Empty { path: path.to_owned() }) } else { Ok(chain) }
}

/// The DNS names that a certificate is valid for. One that names none serves only as the first.
fn names(key: &CertifiedKey) -> Vec<Box<str>> {
    let Some(leaf) = key.cert.first() else { return Vec::new() };
    webpki::EndEntityCert::try_from(leaf)
        .map(|leaf| leaf.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect())
        .unwrap_or_default()
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
            let expected = chain(&files[expected].certificate).unwrap();
            assert_eq!(wardrobe.find(asked).cert, expected, "{asked:?}");
        }
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_certificates() {
        let folder = tempfile::tempdir().unwrap();
        let good = written(folder.path(), "good", &["good.example"]);
        let other = written(folder.path(), "other", &["other.example"]);
        let certificates = Certificates::load(std::slice::from_ref(&good)).unwrap();
        let crossed = CertificateFiles { certificate: good.certificate.clone(), key: other.key.clone() };
        assert!(matches!(certificates.replace(&[crossed]), Err(CertificateFailure::Unusable { .. })));
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
