//! Two servers as bounds for Chancery, each in its own process: `limit-raw` sends shared bytes and implements no xDS, `naive`
//! encodes a response per stream.
//!
//! Both receive commands on their standard input, and end at its end. They serve one type to all nodes.

mod limit_raw;
mod naive;
mod stock;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Result;
use prost::Message as _;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_stream::{StreamExt as _, wrappers::TcpListenerStream};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use self::stock::Stock;
use crate::{
    load::Variant,
    wire::{Command, Reply, op},
};

/// The two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    LimitRaw,
    Naive,
}

/// Files of mTLS, in PEM.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TlsFiles {
    /// The certificate.
    #[arg(long, requires_all = ["tls_key", "client_ca"])]
    tls_cert: Option<PathBuf>,
    /// The private key.
    #[arg(long)]
    tls_key: Option<PathBuf>,
    /// The CA of clients.
    #[arg(long)]
    client_ca: Option<PathBuf>,
}

/// Serves until standard input ends.
pub(crate) fn serve(kind: Kind, tls: &TlsFiles) -> Result<()> {
    crate::process::raise_file_limit();
    // As many threads as cores, like every other server here.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(kind, tls.config()?))
}

impl TlsFiles {
    fn config(&self) -> Result<Option<ServerTlsConfig>> {
        let (Some(cert), Some(key), Some(ca)) = (&self.tls_cert, &self.tls_key, &self.client_ca) else {
            return Ok(None);
        };
        let identity = Identity::from_pem(fs::read(cert)?, fs::read(key)?);
        let config = ServerTlsConfig::new().identity(identity);
        Ok(Some(config.client_ca_root(Certificate::from_pem(fs::read(ca)?))))
    }
}

async fn run(kind: Kind, tls: Option<ServerTlsConfig>) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    let (stock, watched) = watch::channel(Arc::new(Stock::default()));
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        if let Err(error) = obey(address, &stock) {
            eprintln!("the control pipe failed: {error:#}");
        }
        ended.send(()).ok();
    });
    let server = Server::builder()
        .max_concurrent_streams(100_000)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024)
        .tcp_nodelay(true);
    let server = match tls {
        Some(tls) => server.tls_config(tls)?,
        None => server,
    };
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        std::io::Result::Ok(stream)
    });
    let serve = async move {
        let mut server = server;
        match kind {
            Kind::LimitRaw => {
                let ads = limit_raw::Ads::new(watched);
                server.add_service(ads).serve_with_incoming(incoming).await
            }
            Kind::Naive => {
                let ads = naive::Ads::new(watched);
                server.add_service(ads).serve_with_incoming(incoming).await
            }
        }
    };
    tokio::select! {
        done = serve => Ok(done?),
        _ = end => Ok(()),
    }
}

/// Reads commands, each after its length, and answers every one.
fn obey(address: SocketAddr, stock: &watch::Sender<Arc<Stock>>) -> Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {address}")?;
    output.flush()?;
    let mut input = std::io::stdin().lock();
    let mut len = [0; 4];
    while input.read_exact(&mut len).is_ok() {
        let mut bytes = vec![0; u32::from_be_bytes(len) as usize];
        input.read_exact(&mut bytes)?;
        let command = Command::decode(bytes::Bytes::from(bytes))?;
        if command.op != op::TRIM {
            let next = stock.borrow().after(command);
            stock.send_replace(Arc::new(next));
        }
        let reply = Reply::default().encode_to_vec();
        output.write_all(&u32::try_from(reply.len())?.to_be_bytes())?;
        output.write_all(&reply)?;
        output.flush()?;
    }
    Ok(())
}

/// The variant in a method's path.
fn variant_of(path: &str) -> Option<Variant> {
    [Variant::Sotw, Variant::Delta]
        .into_iter()
        .find(|variant| variant.path() == path)
}
