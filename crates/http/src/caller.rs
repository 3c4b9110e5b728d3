//! reqwest's clients, as all of Farthing's begin: no redirects on their own, and TLS by the platform's word about names.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::TlsError;

/// A client's settings: HTTP/1 and HTTP/2, and every 3xx is an answer. What this machine trusts is read when the first
/// server is asked over TLS, once in the process: some hundred files, which a call on this machine needs none of.
///
/// # Errors
/// [`TlsError::Config`]
pub fn caller() -> Result<reqwest::ClientBuilder, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let trust = Arc::new(Platform(provider.clone()));
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(trust)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls);
    Ok(client.redirect(reqwest::redirect::Policy::none()))
}

/// The platform's own judgement of certificates, which is not asked for before a server shows one.
#[derive(Debug)]
struct Platform(Arc<CryptoProvider>);

impl Platform {
    fn verifier(&self) -> Result<&'static Verifier, rustls::Error> {
        static ONCE: OnceLock<Result<Verifier, rustls::Error>> = OnceLock::new();
        let read = ONCE.get_or_init(|| Verifier::new(self.0.clone()));
        read.as_ref().map_err(|why| rustls::Error::General(format!("{}: {why}", TlsError::NoRoots)))
    }
}

impl ServerCertVerifier for Platform {
    fn verify_server_cert(
        &self,
        server: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(server, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, by, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, by, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
