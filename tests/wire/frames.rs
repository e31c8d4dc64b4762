//! HTTP/2 frames that no client sends, written by hand over a raw socket.

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

/// The time without progress after which a peer counts as stalled.
const STALLED: Duration = Duration::from_millis(500);

pub(crate) struct Frames {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
}

/// The result of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The server read all of it.
    All,
    /// The server stopped reading.
    Stalled,
    /// The server closed the connection.
    Closed,
}

// === impl Frames ===

impl Frames {
    /// Connects, and sends the preface.
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        let (read, write) = TcpStream::connect(to).await.unwrap().into_split();
        let mut frames = Self { read, write };
        let hello = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        frames.write.write_all(&hello).await.unwrap();
        frames
    }

    /// Writes these frames for as long as the server reads them.
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

    /// The code of the GOAWAY that ends the connection, or `None` without one.
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
    /// The kinds and flags of all frames until the connection ends; the test answers none of them.
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

/// An encoded frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [len[1], len[2], len[3], kind, flags];
    [&head, &stream.to_be_bytes()[..], payload].concat()
}

/// The headers of a call, encoded by HPACK without a table.
pub(crate) fn headers(path: &str) -> Vec<u8> {
    // The static table has `:method: POST` and `:scheme: http`.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            // One byte encodes lengths up to 126; longer ones need another.
            match u8::try_from(text.len()).unwrap() {
                short @ ..127 => block.push(short),
                long => block.extend([127, long - 127]),
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}
