//! mTLS of a run: a CA, a certificate of the servers and one of all nodes, and the nodes' connections with it. Neither side
//! resumes sessions: every connection pays for its handshake.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::ring,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The identity of all nodes.
pub(crate) const IDENTITY: &str = "spiffe://bench/ns/fleet/sa/node";

/// The files of a run.
#[derive(Debug)]
pub(crate) struct Secure {
    dir: tempfile::TempDir,
    client: Arc<ClientConfig>,
    /// The configuration of a client without a certificate.
    stranger: Arc<ClientConfig>,
}

/// A server's address, and the protocol to use there.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<Secure>>,
}

/// A connection, with or without TLS.
#[derive(Debug)]
pub(crate) enum Connected {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

// === impl Secure ===

impl Secure {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir().context("no directory for certificates")?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "bench CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let server = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned))?;
        let key = KeyPair::generate()?;
        fs::write(dir.path().join("ca.pem"), authority.pem())?;
        fs::write(dir.path().join("server.pem"), server.signed_by(&key, &authority)?.pem())?;
        fs::write(dir.path().join("server.key"), key.serialize_pem())?;
        let mut node = CertificateParams::default();
        node.subject_alt_names.push(SanType::URI(IDENTITY.try_into()?));
        let key = KeyPair::generate()?;
        let own = node.signed_by(&key, &authority)?.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone())?;
        let builder = || {
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
            let builder = builder.with_safe_default_protocol_versions()?;
            anyhow::Ok(builder.with_root_certificates(roots.clone()))
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let client = builder()?.with_client_auth_cert(vec![own], key)?;
        let finished = |mut config: ClientConfig| {
            config.alpn_protocols = vec![b"h2".to_vec()];
            config.resumption = Resumption::disabled();
            Arc::new(config)
        };
        Ok(Self {
            dir,
            client: finished(client),
            stranger: finished(builder()?.with_no_client_auth()),
        })
    }

    /// Certificate, key and CA as flags of a server: `--xds-tls-cert FILE` and so on, with `prefix`.
    pub(crate) fn flags(&self, prefix: &str) -> Vec<String> {
        let files = [
            ("tls-cert", "server.pem"),
            ("tls-key", "server.key"),
            ("client-ca", "ca.pem"),
        ];
        let flag = |(flag, file)| format!("--{prefix}{flag}={}", self.path(file).display());
        files.into_iter().map(flag).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

// === impl Door ===

impl Door {
    /// Opens a connection for HTTP/2.
    pub(crate) async fn open(&self) -> Result<Connected> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Connected::Plain(tcp)),
            Some(secure) => shake_hands(&secure.client, tcp).await,
        }
    }

    /// Opens a connection without a certificate: it fails, at the latest at the first byte that is read.
    pub(crate) async fn open_as_stranger(&self) -> Result<Connected> {
        let secure = self.tls.as_ref().context("there is no TLS")?;
        shake_hands(&secure.stranger, TcpStream::connect(self.address).await?).await
    }
}

async fn shake_hands(config: &Arc<ClientConfig>, tcp: TcpStream) -> Result<Connected> {
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    Ok(Connected::Secure(Box::new(stream)))
}

// === impl Connected ===

impl AsyncRead for Connected {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connected {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Secure(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
