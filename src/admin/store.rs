//! `StoreService`: a backup of the whole store while the server runs.

use std::{
    io::{self, Write},
    sync::Arc,
};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{shared::Shared, status};
use crate::proto::admin::{BackupRequest, BackupResponse, store_service_server::StoreService};

/// The size of a message in bytes.
const CHUNK: usize = 256 << 10;
/// The number of messages that wait for the reader; the disk is read no faster.
const BUFFERED: usize = 4;

pub(super) struct Store {
    shared: Arc<Shared>,
}

/// A writer that sends its bytes to a stream, in chunks.
struct Chunks {
    buffered: Vec<u8>,
    written: u64,
    to: mpsc::Sender<Result<BackupResponse, Status>>,
}

// === impl Store ===

impl Store {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl StoreService for Store {
    type BackupStream = ReceiverStream<Result<BackupResponse, Status>>;

    async fn backup(&self, _: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let (to, stream) = mpsc::channel(BUFFERED);
        let publisher = Arc::clone(&self.shared.publisher);
        self.shared.process.tracker.spawn_blocking(move || {
            let mut chunks = Chunks {
                buffered: Vec::with_capacity(CHUNK),
                written: 0,
                to,
            };
            match publisher.backup(&mut chunks) {
                Ok(()) => info!(bytes = chunks.written, "backed up"),
                // If the reader is gone, the error is dropped.
                Err(failure) => drop(chunks.to.blocking_send(Err(status::of_publish(&failure)))),
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

// === impl Chunks ===

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffered.len());
        self.buffered.extend_from_slice(&bytes[..taken]);
        if self.buffered.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffered.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.buffered, Vec::with_capacity(CHUNK));
        self.written += data.len() as u64;
        let sent = self.to.blocking_send(Ok(BackupResponse { data }));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
