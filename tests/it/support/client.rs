use std::{collections::VecDeque, net::SocketAddr};

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{schemas, soon};

/// A client by another library, which checks every frame it gets.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
    /// Whether it speaks MessagePack.
    packed: bool,
    /// Events that came while an answer was waited for.
    early: VecDeque<Value>,
    next_id: u64,
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    Closed { code: u16, reason: String },
    Gone,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_as(address, None).await
    }

    /// Connects and offers a subprotocol.
    pub async fn connect_as(address: SocketAddr, subprotocol: Option<&'static str>) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address, subprotocol).await
    }

    /// Connects by a socket that takes in as little as the kernel allows, so that whoever does not
    /// read is soon behind.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        Self::over(socket.connect(address).await.unwrap(), address, None).await
    }

    async fn over(
        stream: TcpStream,
        address: SocketAddr,
        subprotocol: Option<&'static str>,
    ) -> Self {
        let mut request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        if let Some(name) = subprotocol {
            let name = HeaderValue::from_static(name);
            request.headers_mut().insert("sec-websocket-protocol", name);
        }
        let (socket, _) = client_async(request, stream).await.unwrap();
        let packed = subprotocol.is_some_and(|name| name.ends_with("msgpack"));
        Self { socket, packed, early: VecDeque::new(), next_id: 1 }
    }

    /// Sends any text.
    pub async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends any message.
    pub async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Asks and waits for the answer; events that come before it are kept for later.
    pub async fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"id": id, "method": method, "params": params});
        if self.packed {
            let packed = rmp_serde::to_vec(&request).unwrap();
            self.send_message(Message::binary(packed)).await;
        } else {
            self.send(request.to_string()).await;
        }
        loop {
            let message = self.message().await;
            if message.get("type").is_none() {
                schemas::answered(&request, &message);
                assert_eq!(message["id"], id, "{message}");
                return message;
            }
            self.early.push_back(message);
        }
    }

    /// As [`Client::ask`]; the answer must be a result.
    pub async fn result(&mut self, method: &str, params: Value) -> Value {
        let mut answer = self.ask(method, params).await;
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].take()
    }

    /// As [`Client::ask`]; the answer must be an error, whose code is returned.
    pub async fn refusal(&mut self, method: &str, params: Value) -> String {
        let answer = self.ask(method, params).await;
        answer["error"]["code"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub async fn subscribe(&mut self, topics: &[&str], options: Value) -> Vec<Value> {
        let mut params = json!({"topics": topics});
        params.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        let result = self.result("subscribe", params).await;
        result["topics"].as_array().unwrap().clone()
    }

    /// The ledger of one subscription.
    pub async fn ledger(&mut self, topic: &str) -> Value {
        let result = self.result("subscriptions", Value::Null).await;
        let rows = result["subscriptions"].as_array().unwrap();
        let row = rows.iter().find(|row| row["topic"] == topic);
        row.unwrap_or_else(|| panic!("no {topic} in {rows:?}"))["ledger"].clone()
    }

    /// The next event.
    pub async fn event(&mut self) -> Value {
        match self.early.pop_front() {
            Some(event) => event,
            None => self.message().await,
        }
    }

    /// The events that came before the last answer and were not asked for yet.
    pub fn waiting(&mut self) -> Vec<Value> {
        self.early.drain(..).collect()
    }

    /// Is gone without a word, by a reset.
    pub fn vanish(self) {
        let stream = self.socket.into_inner();
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// The next event of a type.
    pub async fn event_of(&mut self, kind: &str) -> Value {
        soon(kind, async {
            loop {
                let event = self.event().await;
                if event["type"] == kind {
                    return event;
                }
            }
        })
        .await
    }

    /// The next message, whatever it is.
    pub async fn message(&mut self) -> Value {
        let message: Value = soon("a message", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) if !self.packed => {
                        return serde_json::from_str(&text).unwrap();
                    }
                    Some(Ok(Message::Binary(bytes))) if self.packed => {
                        return rmp_serde::from_slice(&bytes).unwrap();
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("{other:?}"),
                }
            }
        })
        .await;
        schemas::message(&message);
        message
    }

    /// Reads to the end.
    pub async fn ended(&mut self) -> Ended {
        let mut end = Ended::Gone;
        soon("the end of the connection", async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => {
                        let (code, reason) = (frame.code.into(), frame.reason.to_string());
                        end = Ended::Closed { code, reason };
                    }
                    Some(Ok(_)) => {}
                    None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => return,
                    Some(Err(_)) => return,
                }
            }
        })
        .await;
        end
    }

    /// Closes in order and returns the code that the server answers with.
    pub async fn close(mut self) -> Ended {
        self.socket.close(None).await.unwrap();
        self.ended().await
    }
}
