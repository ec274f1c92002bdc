//! `tickwire watch`: the live updates of some topics, a line each.

use std::{io::Write, time::Duration};

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, protocol::CloseFrame},
};

use super::WatchArgs;

/// First pause before connecting again; doubled up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// From this close code on the server tells a client not to come back as it is.
const DO_NOT_RECONNECT: u16 = 3500;

/// Prints updates until the output is closed or the server says not to come back.
///
/// # Errors
/// When the first connection cannot be made, a pattern is refused, or the server turns us away for
/// good.
pub async fn run(args: &WatchArgs, out: &mut impl Write) -> Result<()> {
    let mut pause = PAUSE;
    let mut connected_before = false;
    loop {
        match connect_async(&args.url).await {
            Ok((mut socket, _)) => {
                connected_before = true;
                pause = PAUSE;
                let params = json!({"topics": args.patterns, "mode": "latest"});
                let request = json!({"id": 1, "method": "subscribe", "params": params});
                socket.send(Message::text(request.to_string())).await?;
                while let Some(message) = socket.next().await {
                    match message {
                        Ok(Message::Text(text)) => print(out, &serde_json::from_str(&text)?)?,
                        Ok(Message::Close(frame)) => farewell(frame)?,
                        Ok(_) => {}
                        Err(Error::ConnectionClosed) => break,
                        Err(error) => {
                            tracing::warn!(%error, "the connection was lost");
                            break;
                        }
                    }
                }
            }
            Err(error) if connected_before => tracing::warn!(%error, "not back yet"),
            Err(error) => return Err(error).with_context(|| format!("connecting to {}", args.url)),
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn farewell(frame: Option<CloseFrame>) -> Result<()> {
    let Some(frame) = frame else { return Ok(()) };
    let code = u16::from(frame.code);
    if code >= DO_NOT_RECONNECT {
        bail!("the server closed with {code} {}", frame.reason);
    }
    tracing::warn!(code, reason = %frame.reason, "the server closed the connection");
    Ok(())
}

/// Prints one message, where it is one to print.
fn print(out: &mut impl Write, message: &Value) -> Result<()> {
    let text = |name: &str| message.get(name).and_then(Value::as_str).unwrap_or("-");
    let number = |name: &str| message.get(name).and_then(Value::as_u64).unwrap_or(0);
    match message.get("type").and_then(Value::as_str) {
        Some("snapshot" | "update") => {
            let fields = message.get("data").and_then(Value::as_object);
            let fields = fields.into_iter().flatten().map(|(name, value)| match value {
                Value::String(text) => format!(" {name}={text}"),
                other => format!(" {name}={other}"),
            });
            let fields: String = fields.collect();
            writeln!(out, "{} #{} {}{fields}", text("topic"), number("seq"), text("source"))?;
        }
        Some("status") => writeln!(out, "{} is {}", text("topic"), text("state"))?,
        Some("gap") => {
            let (from, to) = (number("from"), number("to"));
            writeln!(out, "{} lost #{from} to #{to}: {}", text("topic"), text("reason"))?;
        }
        Some("notice") => tracing::warn!(code = text("code"), "notice"),
        Some(_) => {}
        None => refused(message)?,
    }
    out.flush()?;
    Ok(())
}

/// An answer: fails when a pattern was refused.
fn refused(answer: &Value) -> Result<()> {
    let rows = answer.pointer("/result/topics").and_then(Value::as_array);
    let rows = rows.into_iter().flatten();
    let text = |value: &Value, path: &str| {
        value.pointer(path).and_then(Value::as_str).unwrap_or("no reason").to_owned()
    };
    if answer.get("error").is_some() {
        bail!("refused: {}", text(answer, "/error/message"));
    }
    if let Some(row) = rows.into_iter().find(|row| row.get("error").is_some()) {
        bail!("{} is refused: {}", text(row, "/topic"), text(row, "/error/message"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(message: Value) -> String {
        let mut out = Vec::new();
        print(&mut out, &message).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_update_is_one_line() {
        let update = json!({"type":"update","topic":"price.A-B","seq":7,"source":"x",
            "data":{"price":"1.50","sources":2}});
        assert_eq!(printed(update), "price.A-B #7 x price=1.50 sources=2\n");
        let gap = json!({"type":"gap","topic":"price.A-B","from":3,"to":5,"reason":"lag"});
        assert_eq!(printed(gap), "price.A-B lost #3 to #5: lag\n");
        assert_eq!(printed(json!({"type":"heartbeat","time":1})), "");
    }

    #[test]
    fn a_refused_pattern_ends_it_with_the_reason() {
        let answer = json!({"id":1,"result":{"topics":[{"topic":"a.","ok":false,
            "error":{"code":"bad_topic","message":"empty token"}}]}});
        let error = print(&mut Vec::new(), &answer).unwrap_err();
        assert_eq!(error.to_string(), "a. is refused: empty token");
    }
}
