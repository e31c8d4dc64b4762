//! The connection to the admin API.

use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::exit::{Exit, Failure};
use crate::proto::admin::{
    node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    source_service_client::SourceServiceClient, store_service_client::StoreServiceClient,
};

/// A server that is there answers at once; one that is not should not hold a script.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Whom the CLI trusts, and what it shows of itself.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Trust {
    /// The CA that signed the certificate of the admin API (PEM)
    #[arg(long, global = true, env = "CHANCERY_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that is shown to the admin API (PEM)
    #[arg(long, global = true, env = "CHANCERY_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, global = true, env = "CHANCERY_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// Where the admin API is, and how it is reached.
#[derive(Debug)]
pub(super) struct Clients {
    url: String,
    tls: Option<ClientTlsConfig>,
}

// === impl Trust ===

impl Trust {
    /// How a server is trusted, and what is shown to it; read once, so that a missing file is told before anything is sent.
    fn tls(&self) -> Result<ClientTlsConfig, Failure> {
        let Some(ca) = &self.ca else {
            return Err(Failure::usage(
                "an https:// address needs --ca FILE or CHANCERY_CA: the CA that signed the server's certificate",
            ));
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("--ca", ca)?));
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            tls = tls.identity(Identity::from_pem(read("--cert", cert)?, read("--key", key)?));
        }
        Ok(tls)
    }

    fn is_given(&self) -> bool {
        self.ca.is_some() || self.cert.is_some()
    }
}

fn read(flag: &str, file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| Failure::usage(format!("{flag} {}: {error}", file.display())))
}

// === impl Clients ===

impl Clients {
    /// An address without a scheme is reached over TLS where a CA or a certificate is given.
    pub(super) fn new(url: &str, trust: &Trust) -> Result<Self, Failure> {
        let scheme = if trust.is_given() { "https" } else { "http" };
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("{scheme}://{url}")
        };
        let tls = url.starts_with("https://").then(|| trust.tls()).transpose()?;
        Ok(Self { url, tls })
    }

    /// A client for snapshots. Replies have no limit: a snapshot is as large as its group.
    pub(super) async fn snapshots(&self) -> Result<SnapshotServiceClient<Channel>, Failure> {
        let client = SnapshotServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for nodes.
    pub(super) async fn nodes(&self) -> Result<NodeServiceClient<Channel>, Failure> {
        let client = NodeServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for sources.
    pub(super) async fn sources(&self) -> Result<SourceServiceClient<Channel>, Failure> {
        let client = SourceServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for the store.
    pub(super) async fn store(&self) -> Result<StoreServiceClient<Channel>, Failure> {
        Ok(StoreServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Channel, Failure> {
        if self.tls.is_none() && !self.url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "--admin {}: expected http://HOST:PORT or https://HOST:PORT",
                self.url
            )));
        }
        let wrong =
            |error: tonic::transport::Error| Failure::usage(format!("--admin {}: {}", self.url, causes(&error)));
        let mut endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
        }
        endpoint.connect().await.map_err(|error| {
            Failure::new(
                Exit::Unavailable,
                format!(
                    "cannot reach the admin API at {}: {}; set it with --admin URL or CHANCERY_ADMIN",
                    self.url,
                    causes(&error)
                ),
            )
        })
    }
}

/// The innermost cause says what happened; the outer ones say "transport error".
fn causes(error: &tonic::transport::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
