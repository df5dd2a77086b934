//! An authority of the test's own, and the certificates it signs.

use std::path::Path;
use std::sync::Arc;

use consentry::listener::CertificateFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

/// A certificate authority in a folder of its own.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(parameters, key), certificate: certificate.der().clone(), folder }
    }

    /// The authority's own certificate, as `ca: FILE` takes it.
    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Writes a certificate for `names` (IP addresses too) and its key.
    pub fn sign(&self, names: &[&str]) -> CertificateFiles {
        let stem = names.first().unwrap().replace('*', "any");
        self.sign_into(self.folder.path(), &stem, names)
    }

    /// The same, as `FOLDER/STEM.pem` and `FOLDER/STEM.key`.
    pub fn sign_into(&self, folder: &Path, stem: &str, names: &[&str]) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let files = CertificateFiles {
            certificate: folder.join(format!("{stem}.pem")),
            key: folder.join(format!("{stem}.key")),
        };
        std::fs::write(&files.certificate, leaf.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// A client's settings that trust this authority alone, and offer `protocols`.
    pub fn client(&self, protocols: &[&[u8]]) -> rustls::ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS, protocols)
    }

    /// The same, with these versions of TLS alone.
    pub fn client_of(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
        protocols: &[&[u8]],
    ) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }

    /// A server's settings with one certificate for `names`.
    pub fn server(&self, names: &[&str]) -> rustls::ServerConfig {
        self.server_with(names, rustls::server::WebPkiClientVerifier::no_client_auth())
    }

    /// The same for a server that serves only those whom this authority has given a certificate, too.
    pub fn server_among_friends(&self, names: &[&str]) -> rustls::ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        self.server_with(names, verifier.unwrap())
    }

    fn server_with(
        &self,
        names: &[&str],
        clients: Arc<dyn rustls::server::danger::ClientCertVerifier>,
    ) -> rustls::ServerConfig {
        use rustls::pki_types::PrivateKeyDer;
        use rustls::pki_types::pem::PemObject;
        let files = self.sign(names);
        let chain = CertificateDer::pem_file_iter(&files.certificate).unwrap().map(Result::unwrap).collect();
        rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(&files.key).unwrap())
            .unwrap()
    }
}
