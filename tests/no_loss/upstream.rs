//! A fast upstream.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// An upstream that answers every request with 200, on a free port.
pub(crate) async fn start_upstream(tasks: &mut JoinSet<()>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.spawn(answer_all(connection));
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(address)
}

async fn answer_all(mut connection: TcpStream) {
    connection.set_nodelay(true).ok();
    let mut request = Vec::new();
    while let Ok(1..) = connection.read_buf(&mut request).await {
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
            if connection.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
