//! TLS towards upstreams: whom to trust, what to show, and which protocols to offer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert};

use super::Cause;
use super::target::{Tls, Trust};
use super::trust_anything::TrustAnything;
use crate::listener::CertificateFiles;
use crate::listener::certificates::plain;

/// The protocols that a connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Offer {
    /// HTTP/2, else HTTP/1.1.
    Both,
    /// HTTP/1.1: the only one in which a connection can be switched to WebSocket.
    Http1,
}

/// What was read from files of certificates, until they are read again.
#[derive(Debug, Default)]
pub(super) struct Certificates(Mutex<HashMap<(Tls, Offer), Arc<ClientConfig>>>);

impl Certificates {
    /// The settings of a handshake.
    pub(super) fn config(&self, tls: &Tls, offer: Offer) -> Result<Arc<ClientConfig>, Cause> {
        let key = (tls.clone(), offer);
        if let Some(known) = self.known().get(&key) {
            return Ok(Arc::clone(known));
        }
        let config = Arc::new(read(tls, offer)?);
        self.known().insert(key, Arc::clone(&config));
        Ok(config)
    }

    /// Forgets what was read.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<(Tls, Offer), Arc<ClientConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(tls: &Tls, offer: Offer) -> Result<ClientConfig, Cause> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match authorities(&tls.trust)? {
        Some(roots) => builder.with_root_certificates(roots),
        None => accept_anything(builder, provider),
    };
    let mut config = match &tls.identity {
        Some(identity) => with_identity(builder, identity)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = match offer {
        Offer::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Offer::Http1 => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

type WithVerifier = ConfigBuilder<ClientConfig, WantsClientCert>;

fn accept_anything(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    provider: Arc<CryptoProvider>,
) -> WithVerifier {
    builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnything(provider)))
}

fn with_identity(builder: WithVerifier, identity: &CertificateFiles) -> Result<ClientConfig, Cause> {
    let key = PrivateKeyDer::from_pem_slice(&plain(&identity.key)?)?;
    Ok(builder.with_client_auth_cert(of_file(&identity.certificate)?, key)?)
}

impl Trust {
    /// Whether there is anything in the file of authorities, where there is such a file.
    pub fn check(&self) -> Result<(), Cause> {
        match self {
            Trust::Authority(_) => authorities(self).map(drop),
            Trust::System | Trust::Anything => Ok(()),
        }
    }
}

/// The authorities to verify against; none where nothing is verified.
fn authorities(trust: &Trust) -> Result<Option<RootCertStore>, Cause> {
    let certificates = match trust {
        Trust::Anything => return Ok(None),
        Trust::Authority(path) => of_file(path)?,
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "a certificate authority of this machine cannot be read");
            }
            found.certs
        }
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err("there is no certificate authority to verify against".into());
    }
    Ok(Some(roots))
}

fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    Ok(CertificateDer::pem_slice_iter(&plain(path)?).collect::<Result<_, _>>()?)
}
