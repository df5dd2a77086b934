//! One certificate chain and its key: read from disk, looked over, and refused with the reason.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, SignatureAlgorithm};

use super::validity::{self, Validity};
use crate::listener::CertificateFiles;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateFailure {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is damaged", path.display())]
    Damaged {
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
    /// The file holds no key.
    #[error("{} holds no private key", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key can only be read with a password.
    #[error("the key in {} is encrypted", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The key is of no kind that TLS knows.
    #[error("the key in {} cannot be used", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Error,
    },
    /// The key is that of another certificate.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The chain.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The chain does not go from the server's own certificate up.
    #[error("the certificates in {} stand in the wrong order", path.display())]
    Order {
        /// The file.
        path: PathBuf,
    },
    /// The server's own certificate is malformed.
    #[error("the certificate in {} cannot be used", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Error,
    },
    /// A listener with TLS names no certificate at all.
    #[error("no certificate is given")]
    None,
}

/// Which of the two files is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Culprit {
    /// The chain.
    Certificate,
    /// The key.
    Key,
}

impl CertificateFailure {
    /// Which of the two files is to blame.
    pub fn culprit(&self, files: &CertificateFiles) -> Culprit {
        let path = match self {
            Self::Read { path, .. } | Self::Damaged { path, .. } => path,
            Self::Empty { path } | Self::Order { path } | Self::Certificate { path, .. } => path,
            Self::NoKey { path } | Self::Encrypted { path } | Self::Key { path, .. } => path,
            Self::Mismatch { key, .. } => key,
            Self::None => return Culprit::Certificate,
        };
        if *path == files.certificate { Culprit::Certificate } else { Culprit::Key }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Read { .. } => "let the user that runs the proxy read it",
            Self::Damaged { .. } => "copy it again: PEM goes from `-----BEGIN …-----` to `-----END …-----`",
            Self::Empty { .. } => "name a PEM file that begins with `-----BEGIN CERTIFICATE-----`",
            Self::NoKey { .. } => "name a PEM file with `-----BEGIN PRIVATE KEY-----`",
            Self::Encrypted { .. } => {
                "nobody is there to type its password: `openssl pkey -in OLD -out NEW`, mode 0600"
            }
            Self::Key { .. } => "use an RSA key of 2048 bits or more, or an ECDSA key (P-256, P-384)",
            Self::Mismatch { .. } => "name the key that the certificate was asked for with",
            Self::Order { .. } => "first the server's own, then the one that signed it, and so on up",
            Self::Certificate { .. } => "ask for a new one: X.509 version 3, with the host as a DNS name",
            Self::None => "add `- { certificate: FILE, key: FILE }`",
        }
    }
}

/// What there is to know of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The DNS names that it is valid for, in lower case; a wildcard as `*.example.se`.
    pub names: Vec<Box<str>>,
    /// From when until when; nothing where that cannot be told.
    pub validity: Option<Validity>,
    /// The kind of its key: of several certificates of one name and one kind, the first is shown.
    pub kind: SignatureAlgorithm,
}

/// Reads a pair as a listener would, and says what is in it.
pub fn examine(files: &CertificateFiles) -> Result<Examined, CertificateFailure> {
    read(files, &rustls::crypto::aws_lc_rs::default_provider()).map(|(_, examined)| examined)
}

/// Reads a pair.
pub(super) fn read(
    files: &CertificateFiles,
    provider: &CryptoProvider,
) -> Result<(Arc<CertifiedKey>, Examined), CertificateFailure> {
    let chain = chain(&files.certificate)?;
    let key = key(&files.key)?;
    let path = || files.certificate.clone();
    let signing = provider
        .key_provider
        .load_private_key(key)
        .map_err(|source| CertificateFailure::Key { path: files.key.clone(), source })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) if fits_another(&certified) => {
            return Err(CertificateFailure::Order { path: path() });
        }
        Err(Error::InconsistentKeys(_)) => {
            return Err(CertificateFailure::Mismatch { certificate: path(), key: files.key.clone() });
        }
        Err(source) => return Err(CertificateFailure::Certificate { path: path(), source }),
    }
    if is_out_of_order(&certified.cert) {
        return Err(CertificateFailure::Order { path: path() });
    }
    let leaf = certified.cert.first();
    let examined = Examined {
        names: leaf.map(names).unwrap_or_default(),
        validity: leaf.and_then(|leaf| validity::read(leaf)),
        kind: certified.key.algorithm(),
    };
    Ok((Arc::new(certified), examined))
}

pub(super) fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateFailure> {
    let chain = CertificateDer::pem_slice_iter(&bytes(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateFailure::Damaged { path: path.to_owned(), source })?;
    if chain.is_empty() { Err(CertificateFailure::Empty { path: path.to_owned() }) } else { Ok(chain) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateFailure> {
    let bytes = bytes(path)?;
    // Both ways of encrypting a key in PEM say so in clear: PKCS #8 in the first line, the older one in a header.
    const SAYS: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];
    if SAYS.iter().any(|words| bytes.windows(words.len()).any(|window| window == *words)) {
        return Err(CertificateFailure::Encrypted { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|source| match source {
        pem::Error::NoItemsFound => CertificateFailure::NoKey { path: path.to_owned() },
        source => CertificateFailure::Damaged { path: path.to_owned(), source },
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateFailure> {
    super::plain(path).map_err(|source| CertificateFailure::Read { path: path.to_owned(), source })
}

/// Whether the key is that of a certificate further down: the server's own does not stand first.
fn fits_another(certified: &CertifiedKey) -> bool {
    certified
        .cert
        .iter()
        .skip(1)
        .any(|other| CertifiedKey::new(vec![other.clone()], Arc::clone(&certified.key)).keys_match().is_ok())
}

/// Whether a certificate was signed by one of the file that does not come next (RFC 5246 section 7.4.2). One
/// that was signed by none of them ends the chain; what follows it is for old clients, or for nobody.
fn is_out_of_order(chain: &[CertificateDer<'_>]) -> bool {
    let mut parties: Vec<_> = chain.iter().map_while(parties).collect();
    // One authority may stand there twice, signed by an old root and by a new one.
    parties.dedup_by(|second, first| second.1 == first.1);
    parties.iter().zip(parties.iter().skip(1)).any(|((issuer, subject), (_, next))| {
        issuer != next && issuer != subject && parties.iter().any(|(_, subject)| subject == issuer)
    })
}

/// Who signed a certificate, and whose it is.
fn parties(certificate: &CertificateDer<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some((certificate.issuer().to_owned(), certificate.subject().to_owned()))
}

/// The DNS names that a certificate is valid for. One that names none serves only as the first.
fn names(leaf: &CertificateDer<'_>) -> Vec<Box<str>> {
    webpki::EndEntityCert::try_from(leaf)
        .map(|leaf| leaf.valid_dns_names().map(|name| name.to_ascii_lowercase().into()).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// A root, an intermediate, a leaf, and the intermediate as signed by another root; and the leaf's key.
    fn made() -> ([String; 4], KeyPair) {
        let authority = |name: &str| {
            let mut parameters = CertificateParams::new(Vec::new()).unwrap();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters
        };
        let (root_key, middle_key, leaf_key) =
            (KeyPair::generate().unwrap(), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("root").self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(authority("root"), root_key);
        let middle = authority("middle").signed_by(&middle_key, &root_issuer).unwrap();
        let old_root = Issuer::new(authority("old root"), KeyPair::generate().unwrap());
        let crossed = authority("middle").signed_by(&middle_key, &old_root).unwrap();
        let middle_issuer = Issuer::new(authority("middle"), middle_key);
        let mut leaf = CertificateParams::new(vec!["A.example".into(), "*.b.example".into()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, "leaf");
        let leaf = leaf.signed_by(&leaf_key, &middle_issuer).unwrap();
        ([root.pem(), middle.pem(), leaf.pem(), crossed.pem()], leaf_key)
    }

    fn judged(certificate: &str, key: &str) -> Result<Examined, (String, Culprit)> {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("site.pem"),
            key: folder.path().join("site.key"),
        };
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        examine(&files).map_err(|failure| {
            let said = failure.to_string().replace(&format!("{}/", folder.path().display()), "");
            (said, failure.culprit(&files))
        })
    }

    #[test]
    fn a_chain_is_read_from_the_server_up() {
        let ([root, middle, leaf, crossed], key) = made();
        let key = key.serialize_pem();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let ([_, _, stranger, _], _) = made();
        let wrong =
            Err(("the certificates in site.pem stand in the wrong order".into(), Culprit::Certificate));
        for (chain, expected) in [
            (vec![&leaf], Ok(())),
            (vec![&leaf, &middle], Ok(())),
            (vec![&leaf, &middle, &root], Ok(())),
            (vec![&leaf, &middle, &crossed, &root], Ok(())),
            (vec![&leaf, &crossed, &middle, &root], Ok(())),
            // Not of this chain, and harmless.
            (vec![&leaf, &middle, &root, &stranger], Ok(())),
            (vec![&middle, &leaf], wrong.clone()),
            (vec![&root, &middle, &leaf], wrong.clone()),
            (vec![&leaf, &root, &middle], wrong),
        ] {
            let pem: String = chain.iter().map(|pem| pem.as_str()).collect();
            assert_eq!(judged(&pem, &key).map(|_| ()), expected, "{}", chain.len());
        }
        assert_eq!(judged(&leaf, &key).unwrap().names, ["a.example".into(), "*.b.example".into()]);
        let mismatch = "the key in site.key is not that of the certificate in site.pem".to_owned();
        assert_eq!(judged(&leaf, &other), Err((mismatch, Culprit::Key)));
    }

    #[test]
    fn each_broken_file_is_named_with_its_reason() {
        let ([_, _, leaf, _], key) = made();
        let key = key.serialize_pem();
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let cut = leaf.replace("-----END CERTIFICATE-----", "");
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, key, expected, culprit) in [
            ("", key.as_str(), "site.pem holds no certificate", Culprit::Certificate),
            (&key, &key, "site.pem holds no certificate", Culprit::Certificate),
            (&cut, &key, "site.pem is damaged", Culprit::Certificate),
            (garbage, &key, "the certificate in site.pem cannot be used", Culprit::Certificate),
            (&leaf, &leaf, "site.key holds no private key", Culprit::Key),
            (&leaf, "", "site.key holds no private key", Culprit::Key),
            (&leaf, locked, "the key in site.key is encrypted", Culprit::Key),
            (&leaf, old, "the key in site.key is encrypted", Culprit::Key),
            (&leaf, empty, "the key in site.key cannot be used", Culprit::Key),
            (&leaf, &key.replace("-----END", "--END"), "site.key is damaged", Culprit::Key),
        ] {
            assert_eq!(judged(certificate, key), Err((expected.into(), culprit)), "{certificate} {key}");
        }
    }
}
