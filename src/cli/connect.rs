//! The connection to the admin API.

use std::{
    error::Error as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri},
};

use zeroize::Zeroizing;

use super::exit::{Exit, Failure};
use crate::proto::admin::{
    node_service_client::NodeServiceClient, snapshot_service_client::SnapshotServiceClient,
    source_service_client::SourceServiceClient, store_service_client::StoreServiceClient,
};

/// A running server answers at once; a missing one must not hold up a script.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The CA that the CLI trusts, and its own certificate.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Trust {
    /// The CA that signed the certificate of the admin API (PEM)
    #[arg(long, global = true, env = "CHANCERY_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate that is sent to the admin API (PEM)
    #[arg(long, global = true, env = "CHANCERY_CERT", value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, global = true, env = "CHANCERY_KEY", value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// A connection that sends the token with every call.
type Shown = InterceptedService<Channel, Bearer>;

/// The address of the admin API, the TLS settings, and the token.
#[derive(Debug)]
pub(super) struct Clients {
    url: String,
    tls: Option<ClientTlsConfig>,
    bearer: Bearer,
}

/// The credentials of every call; none without a token.
#[derive(Clone, Debug, Default)]
pub(super) struct Bearer {
    /// Marked as sensitive, so that it is never logged.
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Trust ===

impl Trust {
    /// The TLS settings; files are read once, so that a missing file is reported before anything is sent.
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

fn read(flag: &str, file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    fs::read(file)
        .map(Zeroizing::new)
        .map_err(|error| Failure::usage(format!("{flag} {}: {error}", file.display())))
}

// === impl Clients ===

impl Clients {
    /// An address without a scheme gets TLS if there is a CA or a certificate.
    pub(super) fn new(url: &str, trust: &Trust, token_file: Option<&Path>) -> Result<Self, Failure> {
        let scheme = if trust.is_given() { "https" } else { "http" };
        let url = if url.contains("://") {
            url.to_owned()
        } else {
            format!("{scheme}://{url}")
        };
        let tls = url.starts_with("https://").then(|| trust.tls()).transpose()?;
        let bearer = token_file.map(Bearer::read).transpose()?.unwrap_or_default();
        if bearer.authorization.is_some() && !is_private(&url) {
            return Err(Failure::usage(format!(
                "--token-file: a token is not sent to {url} in the clear: use https://, or a loopback address"
            )));
        }
        Ok(Self { url, tls, bearer })
    }

    /// A client for snapshots. Replies have no limit: a snapshot is as large as its group.
    pub(super) async fn snapshots(&self) -> Result<SnapshotServiceClient<Shown>, Failure> {
        let client = SnapshotServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for nodes.
    pub(super) async fn nodes(&self) -> Result<NodeServiceClient<Shown>, Failure> {
        let client = NodeServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for sources.
    pub(super) async fn sources(&self) -> Result<SourceServiceClient<Shown>, Failure> {
        let client = SourceServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(usize::MAX))
    }

    /// A client for the store.
    pub(super) async fn store(&self) -> Result<StoreServiceClient<Shown>, Failure> {
        Ok(StoreServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Shown, Failure> {
        Ok(InterceptedService::new(self.connect().await?, self.bearer.clone()))
    }

    async fn connect(&self) -> Result<Channel, Failure> {
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

/// Returns true if nobody between the CLI and the server can read what is sent.
fn is_private(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    uri.scheme_str() == Some("https") || host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

// === impl Bearer ===

impl Bearer {
    fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: String| Failure::usage(format!("--token-file {}: {error}", path.display()));
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
        let value = Zeroizing::new(format!("Bearer {}", text.trim()));
        let mut value: MetadataValue<Ascii> = value.parse().map_err(|_| failed("it holds no token".to_owned()))?;
        if text.trim().is_empty() {
            return Err(failed("it is empty".to_owned()));
        }
        value.set_sensitive(true);
        Ok(Self {
            authorization: Some(value),
        })
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

/// The innermost cause, which names the problem; the outer ones only say "transport error".
fn causes(error: &tonic::transport::Error) -> String {
    let mut cause = error.source();
    let mut text = error.to_string();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}
