//! HTTP/2 as no client speaks it: frames that a test writes by hand over a raw socket.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::server::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// How long a peer that takes in nothing more is written to.
const STALLED: Duration = Duration::from_millis(500);

/// One connection.
pub(crate) struct Frames {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

/// How a flood came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it was taken in.
    All,
    /// The server took in no more of it.
    Stalled,
    /// The server closed the connection.
    Closed,
}

// === impl Frames ===

impl Frames {
    /// Says hello.
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(to).await.unwrap().into_split();
        let mut frames = Self { read, write };
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        frames.write.write_all(&hello).await.unwrap();
        frames
    }

    /// Writes this over and over, as long as the server takes it in.
    pub(crate) async fn flood(&mut self, frames: impl Iterator<Item = Vec<u8>>) -> Taken {
        let mut chunk = Vec::new();
        let mut frames = frames.peekable();
        while let Some(frame) = frames.next() {
            chunk.extend_from_slice(&frame);
            if chunk.len() >= 64 << 10 || frames.peek().is_none() {
                match timeout(STALLED, self.write.write_all(&chunk)).await {
                    Ok(Ok(())) => chunk.clear(),
                    Ok(Err(_)) => return Taken::Closed,
                    Err(_) => return Taken::Stalled,
                }
            }
        }
        Taken::All
    }

    /// The code of the GOAWAY that ends the connection; `None` where it ends without one.
    pub(crate) async fn goaway(&mut self) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            let read = timeout(PATIENCE, self.read.read_exact(&mut head)).await;
            read.expect("an end in time").ok()?;
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; len];
            self.read.read_exact(&mut payload).await.ok()?;
            if head[3] == GOAWAY {
                return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
            }
        }
    }
}

impl Frames {
    /// The kinds and flags of all frames until the connection ends, of which none is answered.
    pub(crate) async fn until_closed(&mut self) -> Vec<(u8, u8)> {
        let mut heard = Vec::new();
        loop {
            let mut head = [0; 9];
            let read = timeout(PATIENCE, self.read.read_exact(&mut head)).await;
            if read.expect("an end in time").is_err() {
                return heard;
            }
            heard.push((head[3], head[4]));
            let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if self.read.read_exact(&mut vec![0; len]).await.is_err() {
                return heard;
            }
        }
    }
}

/// A frame as it is written.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [len[1], len[2], len[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// The headers of a call, as HPACK writes them without a table.
pub(crate) fn headers(path: &str) -> Vec<u8> {
    // `:method: POST` and `:scheme: http` are in the static table.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            // One byte holds lengths up to 126; longer ones take another.
            match u8::try_from(text.len()).unwrap() {
                short @ ..127 => block.push(short),
                long => block.extend([127, long - 127]),
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
