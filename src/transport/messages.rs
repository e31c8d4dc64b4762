//! gRPC messages off the body of a request, without a buffer of their own while none is under way.
//!
//! `tonic::Streaming` keeps a buffer per stream that grows to its largest message and never shrinks: thousands of nodes that
//! once listed a thousand names would hold it for ever.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::Body;
use tonic::{Code, Status};

/// The compression flag and the length.
const PREFIX: usize = 5;

/// Reserved at once for a message that comes in parts. What a client says of its length is no reason to believe it.
const RESERVED: usize = 64 * 1024;

/// The messages of one direction of a stream, as bytes.
#[derive(Debug)]
pub(super) struct Messages<B> {
    body: B,
    /// The most bytes of one message.
    limit: usize,
    /// What came last and was not looked at yet.
    frame: Bytes,
    /// The beginning of a message whose rest is still to come.
    part: BytesMut,
}

// === impl Messages ===

impl<B> Messages<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    pub(super) fn new(body: B, limit: usize) -> Self {
        Self {
            body,
            limit,
            frame: Bytes::new(),
            part: BytesMut::new(),
        }
    }

    /// The next message; `None` at the end of the body.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.split() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // Trailers of a request say nothing.
                Some(Ok(frame)) => self.frame = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    let status = Status::from_error(error.into());
                    // A client that resets its stream with CANCEL is just gone.
                    let end = (status.code() != Code::Cancelled).then_some(Err(status));
                    return Poll::Ready(end);
                }
                None if self.part.is_empty() => return Poll::Ready(None),
                None => {
                    self.part.clear();
                    return Poll::Ready(Some(Err(Status::internal("the body ends within a message"))));
                }
            }
        }
    }

    /// Takes one whole message out of what came; a part of one is kept for later.
    fn split(&mut self) -> Result<Option<Bytes>, Status> {
        if self.part.is_empty()
            && let Some(len) = self.announced(&self.frame)?
            && self.frame.len() - PREFIX >= len
        {
            self.frame.advance(PREFIX);
            return Ok(Some(self.frame.split_to(len)));
        }
        self.take(PREFIX);
        let Some(len) = self.announced(&self.part)? else {
            return Ok(None);
        };
        self.take(PREFIX + len);
        if self.part.len() < PREFIX + len {
            return Ok(None);
        }
        let mut message = std::mem::take(&mut self.part).freeze();
        message.advance(PREFIX);
        Ok(Some(message))
    }

    /// Moves of the frame what the part lacks to be so long.
    fn take(&mut self, len: usize) {
        let lacks = len.saturating_sub(self.part.len()).min(self.frame.len());
        if self.part.capacity() < len {
            self.part.reserve(len.min(RESERVED).saturating_sub(self.part.len()));
        }
        self.part.extend_from_slice(&self.frame.split_to(lacks));
    }

    /// The length that the prefix tells, where all of the prefix is there.
    fn announced(&self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flag, len @ ..] = *prefix;
        if flag != 0 {
            return Err(Status::internal(
                "a message is marked as compressed, or its prefix is broken",
            ));
        }
        let len = u32::from_be_bytes(len) as usize;
        if len > self.limit {
            let limit = self.limit;
            return Err(Status::out_of_range(format!(
                "a request of {len} bytes is over the limit of {limit} bytes"
            )));
        }
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests;
