//! The connections of the control surface, as many as it may have.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections as they come. One more than may be is closed at once, so that nobody takes the descriptors that letters need.
pub(super) struct Connections {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

/// One of them.
pub(super) struct Connection {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    /// Those that a listener hears of, `max` at a time.
    pub fn new(listener: TcpListener, max: usize) -> Connections {
        Connections { listener, room: Arc::new(Semaphore::new(max)) }
    }
}

impl Stream for Connections {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let (stream, _) = match ready!(self.listener.poll_accept(cx)) {
                Ok(accepted) => accepted,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            if let Ok(_permit) = self.room.clone().try_acquire_owned() {
                // A connection that is over already is found to be so by who reads it.
                let _ = stream.set_nodelay(true);
                return Poll::Ready(Some(Ok(Connection { stream, _permit })));
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, to)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    async fn next(connections: &mut Connections) -> Connection {
        std::future::poll_fn(|cx| Pin::new(&mut *connections).poll_next(cx)).await.unwrap().unwrap()
    }

    #[test]
    fn one_too_many_is_closed_until_another_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut connections = Connections::new(listener, 1);
            let _first = TcpStream::connect(address).await.unwrap();
            let held = next(&mut connections).await;
            let mut second = TcpStream::connect(address).await.unwrap();
            let closed = async { second.read(&mut [0]).await.map_or(true, |read| read == 0) };
            tokio::select! {
                _ = next(&mut connections) => panic!("there is no room"),
                is_closed = closed => assert!(is_closed),
            }
            drop(held);
            let _third = TcpStream::connect(address).await.unwrap();
            next(&mut connections).await;
        });
    }
}
