//! Connections to other servers.

use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, RootCertStore};

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// There is nobody whose word about a server's name could be believed.
    #[error("this machine has no trusted certificates; install them (on Debian: ca-certificates)")]
    NoRoots,
    /// The provider of cryptography has no version of TLS.
    #[error(transparent)]
    Config(#[from] rustls::Error),
}

/// What a client connects by: in plain text, and over TLS where `tls` is to be spoken, by the system's trusted roots,
/// which are read for it. `timeout` is for one connection to be made; `http2` offers HTTP/2 where TLS is spoken.
///
/// # Errors
/// [`TlsError`]
pub fn connector(
    tls: bool,
    http2: bool,
    timeout: Duration,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut http = HttpConnector::new();
    http.set_connect_timeout(Some(timeout));
    http.set_nodelay(true);
    http.enforce_http(false);
    let builder = HttpsConnectorBuilder::new().with_tls_config(config(roots(tls)?)?).https_or_http();
    Ok(match http2 {
        true => builder.enable_all_versions().wrap_connector(http),
        false => builder.enable_http1().wrap_connector(http),
    })
}

fn roots(wanted: bool) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if wanted {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(TlsError::NoRoots);
        }
    }
    Ok(roots)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
