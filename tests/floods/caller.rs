//! A raw HTTP/2 client that can send anything.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client};
use http::{Method, Request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
};

/// A connection that opens streams.
pub(crate) struct Caller {
    requests: client::SendRequest<Bytes>,
    server: SocketAddr,
    connection: JoinHandle<()>,
}

/// A stream; its request side stays open until it is dropped.
pub(crate) struct Call {
    pub(crate) requests: SendStream<Bytes>,
    response: client::ResponseFuture,
}

// === impl Caller ===

impl Caller {
    /// Connects from this address, with this window for the server's bytes.
    pub(crate) async fn connect(server: SocketAddr, from: SocketAddr, window: u32) -> Result<Self, Failed> {
        let tcp = dial(server, from).await?;
        let (requests, connection) = client::Builder::new()
            .initial_window_size(window)
            .handshake::<_, Bytes>(tcp)
            .await?;
        let connection = async move {
            connection.await.ok();
        };
        Ok(Self {
            requests,
            server,
            connection: tokio::runtime::Handle::current().spawn(connection),
        })
    }

    pub(crate) async fn call(&mut self, path: &str) -> Result<Call, Failed> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.server))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let mut ready = self.requests.clone().ready().await?;
        let (response, requests) = ready.send_request(request, false)?;
        Ok(Call { requests, response })
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

// === impl Call ===

impl Call {
    /// Sends a whole message.
    pub(crate) fn say(&mut self, message: &[u8]) -> Result<(), Failed> {
        Ok(self.requests.send_data(framed(message).into(), false)?)
    }

    /// Waits for the headers of the response.
    pub(crate) async fn answer(self) -> Result<(SendStream<Bytes>, RecvStream), Failed> {
        Ok((self.requests, self.response.await?.into_body()))
    }

    /// Reads until the server ends the stream.
    pub(crate) async fn listen(self) -> Result<(), Failed> {
        let (_requests, mut body) = self.answer().await?;
        while let Some(data) = body.data().await {
            let len = data?.len();
            body.flow_control().release_capacity(len)?;
        }
        Ok(())
    }
}

/// Adds gRPC's prefix to a message.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend(message);
    framed
}

/// The server refused the attacker, as it should.
#[derive(Debug)]
pub(crate) struct Failed;

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl From<h2::Error> for Failed {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

pub(crate) async fn dial(server: SocketAddr, from: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The client's preface and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Writes the same frames repeatedly, as fast as the server reads them, until the server closes the connection.
pub(crate) async fn repeat_frames(server: SocketAddr, from: SocketAddr, frames: &[u8]) -> Result<(), Failed> {
    let (mut hear, mut say) = dial(server, from).await?.into_split();
    let hearing = tokio::runtime::Handle::current().spawn(async move {
        let mut heard = [0; 16 * 1024];
        while hear.read(&mut heard).await.is_ok_and(|len| len > 0) {}
    });
    say.write_all(PREFACE).await?;
    let frames = frames.repeat(64);
    while !hearing.is_finished() {
        say.write_all(&frames).await?;
    }
    Ok(())
}
