//! Reads gRPC messages from the body of a request. Holds no buffer while no message is under way.
//!
//! `tonic::Streaming` has a buffer per stream that grows to the largest message and never shrinks: thousands of nodes
//! that once sent a thousand names would keep it for ever.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use http_body::Body;
use tonic::{Code, Status};

use super::{
    ledger::{Full, Lease},
    timer::Timer,
};

/// The length of the prefix: the compression flag and the length of the message.
pub(super) const PREFIX: usize = 5;

/// Bytes reserved at first for a message in several frames. The length that a client announces is not trusted.
const RESERVED: usize = 64 * 1024;

/// Frames per turn without a complete message, so that other streams get their turn.
const FRAMES_PER_TURN: usize = 256;

/// The reason why a body gave no message.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("a message is marked as compressed, or its prefix is broken")]
    Prefix,
    #[error("a request of {0} bytes is over the limit of {1} bytes")]
    Large(usize, usize),
    #[error("the body ends within a message")]
    End,
    #[error("a request was unfinished for {0:?}")]
    Slow(Duration),
    #[error(transparent)]
    Full(#[from] Full),
    /// The connection failed.
    #[error(transparent)]
    Body(#[from] Status),
}

/// The messages of one direction of a stream, as bytes.
#[derive(Debug)]
pub(super) struct Messages<B> {
    body: B,
    /// The maximum length of a message.
    limit: usize,
    /// The rest of the last frame.
    frame: Bytes,
    /// The start of an incomplete message.
    part: Vec<u8>,
    /// Counts the bytes of `part`.
    lease: Lease,
    /// The time that the rest of a message may take, and the timer for it.
    patience: Duration,
    due: Timer,
}

// === impl Messages ===

impl<B> Messages<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin,
{
    pub(super) fn new(body: B, limit: usize, lease: Lease, patience: Duration) -> Self {
        Self {
            body,
            limit,
            frame: Bytes::new(),
            part: Vec::new(),
            lease,
            patience,
            due: Timer::default(),
        }
    }

    /// The next message; `None` at the end of the body. The message before is released.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        self.release();
        for _ in 0..FRAMES_PER_TURN {
            match self.split() {
                Ok(Some(message)) => {
                    self.due.set(None);
                    return Poll::Ready(Some(Ok(message)));
                }
                Ok(None) => {}
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.poll_overdue(cx));
                return Poll::Ready(Some(Err(Broken::Slow(self.patience))));
            };
            match frame {
                // Trailers of a request have no meaning.
                Some(Ok(frame)) => self.frame = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    let status = Status::from_error(error.into());
                    // A client that resets its stream with CANCEL has just left.
                    let end = (status.code() != Code::Cancelled).then_some(Err(status.into()));
                    return Poll::Ready(end);
                }
                None if self.part.is_empty() => return Poll::Ready(None),
                None => {
                    self.part.clear();
                    self.lease.finish();
                    return Poll::Ready(Some(Err(Broken::End)));
                }
            }
        }
        // Frames may be empty, and an endless run of them must not hold the task.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Stops counting the bytes of the last message.
    pub(super) fn release(&mut self) {
        if self.part.is_empty() {
            self.lease.finish();
        }
    }

    /// Ready if a message has been incomplete for too long.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.part.is_empty() {
            return Poll::Pending;
        }
        if !self.due.is_set() {
            self.due.set(Instant::now().checked_add(self.patience));
        }
        self.due.poll(cx)
    }

    /// Takes a complete message from the frame, or keeps an incomplete one in `part`.
    fn split(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.part.is_empty()
            && let Some(len) = self.announced(&self.frame)?
            && self.frame.len() - PREFIX >= len
        {
            self.frame.advance(PREFIX);
            return Ok(Some(self.frame.split_to(len)));
        }
        if self.frame.is_empty() {
            return Ok(None);
        }
        self.take(PREFIX)?;
        let Some(len) = self.announced(&self.part)? else {
            return Ok(None);
        };
        self.take(PREFIX + len)?;
        if self.part.len() < PREFIX + len {
            return Ok(None);
        }
        let mut message = Bytes::from(std::mem::take(&mut self.part));
        message.advance(PREFIX);
        Ok(Some(message))
    }

    /// Moves bytes from the frame to `part` until `part` has `len` bytes.
    fn take(&mut self, len: usize) -> Result<(), Broken> {
        let lacks = len.saturating_sub(self.part.len()).min(self.frame.len());
        let needed = self.part.len() + lacks;
        if self.part.capacity() < needed {
            // Counts the reserved bytes: never more than the announced length.
            let reserved = (2 * self.part.capacity()).max(RESERVED).max(needed).min(len);
            self.lease.grow(reserved)?;
            self.part.reserve_exact(reserved - self.part.len());
        }
        self.part.extend_from_slice(&self.frame.split_to(lacks));
        Ok(())
    }

    /// The length in the prefix, if the prefix is complete.
    fn announced(&self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flag, len @ ..] = *prefix;
        if flag != 0 {
            return Err(Broken::Prefix);
        }
        let len = u32::from_be_bytes(len) as usize;
        if len > self.limit {
            return Err(Broken::Large(len, self.limit));
        }
        Ok(Some(len))
    }
}

#[cfg(test)]
mod tests;
