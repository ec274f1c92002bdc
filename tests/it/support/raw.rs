//! A client that sends whatever bytes it likes and checks nothing of what it does not look at.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The headers of a handshake that is accepted.
pub const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A TCP connection.
pub struct Raw {
    pub stream: TcpStream,
}

/// A frame of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// FIN, RSV and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawEnd {
    /// With a close frame, which may have no code.
    Close(Option<u16>),
    /// Without one.
    Gone,
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    /// Connects and makes the handshake, with more headers; returns the answer's head as well.
    pub async fn open(address: SocketAddr, headers: &str) -> (Self, String) {
        let mut raw = Self::connect(address).await;
        raw.send(format!("GET /v1/ws HTTP/1.1\r\nHost: {address}\r\n{UPGRADE}{headers}\r\n")).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        (raw, head)
    }

    /// Sends bytes as they are. That the server has closed is for others to notice.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.ok();
    }

    /// The head of an HTTP answer; what there is of it, when the connection ends.
    pub async fn head(&mut self) -> String {
        let mut head = Vec::new();
        soon("the head of an answer", async {
            while !head.ends_with(b"\r\n\r\n") {
                match self.stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
        })
        .await;
        String::from_utf8_lossy(&head).into_owned()
    }

    /// The next frame; nothing at the end.
    pub async fn frame(&mut self) -> Option<Frame> {
        soon("a frame", self.read_frame()).await.ok()
    }

    async fn read_frame(&mut self) -> std::io::Result<Frame> {
        let first = self.stream.read_u8().await?;
        let len = match self.stream.read_u8().await? {
            126 => u64::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await?,
            short => u64::from(short),
        };
        assert!(len < 1 << 26, "the server masks, or sends {len} bytes at once");
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut payload).await?;
        Ok(Frame { first, payload })
    }

    /// The next frame of a kind (FIN, RSV and opcode).
    pub async fn frame_of(&mut self, first: u8) -> Frame {
        loop {
            let frame = self.frame().await.unwrap();
            if frame.first == first {
                return frame;
            }
        }
    }

    /// Reads to the end. Nothing may follow a close frame.
    pub async fn ended(&mut self) -> RawEnd {
        let mut end = RawEnd::Gone;
        while let Some(frame) = self.frame().await {
            assert_eq!(end, RawEnd::Gone, "{frame:?} after the close frame");
            if frame.first == 0x88 {
                let code = frame.payload.first_chunk().copied().map(u16::from_be_bytes);
                end = RawEnd::Close(code);
            }
        }
        end
    }
}

/// A frame of a client: FIN, RSV and opcode, and a payload that gets masked.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = head(first, payload.len() as u64, true);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The head alone, of a payload that may never come.
pub fn head(first: u8, len: u64, masked: bool) -> Vec<u8> {
    let bit = if masked { 0x80 } else { 0 };
    let mut head = vec![first];
    match len {
        0..126 => head.push(bit | u8::try_from(len).unwrap()),
        126..0x1_0000 => {
            head.push(bit | 126);
            head.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            head.push(bit | 127);
            head.extend(len.to_be_bytes());
        }
    }
    if masked {
        head.extend(MASK);
    }
    head
}

/// A close frame.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}
