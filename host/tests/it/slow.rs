//! A sender whose body comes in two parts.

use std::net::SocketAddr;

use tokio::net::TcpStream;

/// A request of which the first part was sent.
pub(crate) struct SlowSender(TcpStream);

impl SlowSender {
    /// Sends the head, which announces so many bytes, and the first of them.
    pub(crate) async fn begin(
        address: SocketAddr,
        path: &str,
        part: &[u8],
        body_bytes: usize,
    ) -> Self {
        let mut sender = Self(TcpStream::connect(address).await.unwrap());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {body_bytes}\r\n\r\n"
        );
        sender.write(&[head.as_bytes(), part].concat()).await;
        sender
    }

    /// Sends the rest and waits until the answer begins.
    pub(crate) async fn end(mut self, rest: &[u8]) {
        self.write(rest).await;
        self.0.readable().await.unwrap();
    }

    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.0.writable().await.unwrap();
            match self.0.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
    }
}
