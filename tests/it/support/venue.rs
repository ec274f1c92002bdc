use std::{net::SocketAddr, sync::Arc};

use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tickwire::shutdown::Tasks;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{WebSocketStream, accept_async, tungstenite::Message};

use super::soon;

/// A venue with a WebSocket, of which the test holds the other end.
pub struct Venue {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
    /// What to answer instead of shaking hands.
    refusal: Arc<Mutex<Option<String>>>,
}

/// One connection of a server under test.
pub struct Connection(WebSocketStream<TcpStream>);

impl Venue {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, connections) = mpsc::channel(64);
        let refusal = Arc::new(Mutex::new(None));
        let refused = refusal.clone();
        Tasks::default().spawn("fake venue", async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let refusal: Option<String> = refused.lock().clone();
                match refusal {
                    Some(answer) => refuse(stream, &answer).await,
                    None => {
                        let socket = accept_async(stream).await.unwrap();
                        sender.send(Connection(socket)).await.unwrap();
                    }
                }
            }
        });
        Self { address, connections, refusal }
    }

    pub fn url(&self) -> String {
        format!("ws://{}/stream", self.address)
    }

    /// Answers every handshake with this until told otherwise.
    pub fn refuse(&self, answer: &str) {
        *self.refusal.lock() = Some(answer.to_owned());
    }

    pub fn accept(&self) {
        *self.refusal.lock() = None;
    }

    /// The next connection.
    pub async fn connection(&mut self) -> Connection {
        soon("a connection to the venue", self.connections.recv()).await.unwrap()
    }
}

async fn refuse(mut stream: TcpStream, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

impl Connection {
    pub async fn say(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    /// A price as Binance's miniTicker tells it.
    pub async fn price(&mut self, symbol: &str, price: &str) {
        let name = symbol.to_lowercase();
        self.say(format!(r#"{{"stream":"{name}@miniTicker","data":{{"c":"{price}"}}}}"#)).await;
    }

    /// The next text that the server says.
    pub async fn text(&mut self) -> String {
        loop {
            let message = soon("a message of the server", self.0.next()).await;
            if let Message::Text(text) = message.unwrap().unwrap() {
                return text.as_str().to_owned();
            }
        }
    }

    /// Whether the server closes the connection as one should.
    pub async fn closes(mut self) -> bool {
        loop {
            match soon("the end of a connection", self.0.next()).await {
                Some(Ok(Message::Close(_))) => return true,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return false,
            }
        }
    }
}
