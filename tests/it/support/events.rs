use serde_json::Value;

use super::{schemas, soon};

/// A client of Server-Sent Events.
pub struct Events {
    response: reqwest::Response,
    text: String,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    pub kind: String,
    pub data: Value,
    pub id: Option<String>,
}

impl Events {
    pub fn new(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    pub fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The next lines up to an empty one; nothing at the end of the body.
    pub async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            // An error would be a body that ends without its last chunk.
            let chunk = soon("an event", self.response.chunk()).await.unwrap();
            let Some(chunk) = chunk else {
                assert_eq!(self.text, "", "an event is in parts");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event; nothing at the end of the body.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.starts_with("retry:") {
                continue;
            }
            let field = |name: &str| {
                let start = format!("{name}: ");
                block.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
            };
            let data = serde_json::from_str(&field("data").unwrap()).unwrap();
            let kind = field("event").unwrap();
            schemas::event(&kind, &data);
            return Some(Event { kind, data, id: field("id") });
        }
    }

    /// The next event of a type.
    pub async fn next_of(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().await.unwrap();
            if event.kind == kind {
                return event;
            }
        }
    }
}
