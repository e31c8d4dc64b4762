//! A TCP proxy that delivers every byte a fixed time later, in order and without limiting throughput. It simulates a round
//! trip to a distant control plane.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// The proxy ends when dropped, and cuts every connection through it. Another proxy on the same address restores the path.
pub(crate) struct DelayProxy {
    _tasks: JoinSet<()>,
}

impl DelayProxy {
    /// Forwards connections from `address` to `target`, each direction delayed by `one_way`.
    pub(crate) async fn start(address: SocketAddr, target: SocketAddr, one_way: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(connect(near, target, one_way));
            }
        });
        Ok(Self { _tasks: tasks })
    }
}

/// The end of either direction ends both, so that the client notices a killed control plane.
async fn connect(near: TcpStream, target: SocketAddr, one_way: Duration) {
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    for stream in [&near, &far] {
        stream.set_nodelay(true).ok();
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    tokio::select! {
        () = pump(near_read, far_write, one_way) => {}
        () = pump(far_read, near_write, one_way) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration) {
    let (queue, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if queue
                .send((Instant::now() + one_way, buffer[..length].to_vec()))
                .is_err()
            {
                break;
            }
        }
    };
    let write = async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::join!(read, write);
}
