//! Calls over TLS: to whom this machine trusts, and to nobody else.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::world::World;

/// What stands before a gateway on the Internet and ends TLS, with a certificate for `localhost` that nobody knows.
struct Door {
    url: String,
    certificate: PathBuf,
}

impl Door {
    async fn before(world: &World) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = world.folder.path().join("certificate.pem");
        std::fs::write(&certificate, cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.into()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let gateway = world.url.trim_start_matches("http://").to_owned();
        tokio::spawn(lead(listener, TlsAcceptor::from(Arc::new(config)), gateway));
        Self { url, certificate }
    }
}

async fn lead(listener: TcpListener, tls: TlsAcceptor, gateway: String) {
    while let Ok((connection, _)) = listener.accept().await {
        let (tls, gateway) = (tls.clone(), gateway.clone());
        tokio::spawn(async move {
            let mut outside = tls.accept(connection).await?;
            let mut inside = TcpStream::connect(gateway).await?;
            tokio::io::copy_bidirectional(&mut outside, &mut inside).await
        });
    }
}

#[tokio::test]
async fn nobody_is_paid_whom_this_machine_does_not_trust() {
    let world = World::start().await;
    let door = Door::before(&world).await;
    let address = format!("{}/weather/berlin", door.url);

    let refused = world.wallet.run(&["fetch", &address]).await;
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("certificate"), "{said}");
    assert_eq!((world.earned().await, world.upstream.served()), (0, 0));

    let trusting = world
        .wallet
        .command(&["fetch", &address])
        .env("SSL_CERT_FILE", &door.certificate)
        .output()
        .await
        .unwrap();
    assert!(trusting.status.success(), "{}", String::from_utf8_lossy(&trusting.stderr));
    assert_eq!(trusting.stdout, br#"{"path":"/weather/berlin"}"#);
    assert_eq!((world.earned().await, world.upstream.served()), (2_000, 1));
}
