use std::sync::Arc;

use super::*;
use crate::{
    delivery::SubscribeRow,
    protocol::frame::{Opcode, close, frame},
};

fn text(message: &str) -> Bytes {
    frame(Opcode::Text, message.as_bytes())
}

fn write(pipe: &Arc<Pipe>, frames: &[Bytes]) -> Result<usize, io::ErrorKind> {
    let slices: Vec<_> = frames.iter().map(|frame| IoSlice::new(frame)).collect();
    SseWriter(pipe.clone()).try_write_vectored(&slices).map_err(|error| error.kind())
}

/// All that can be taken, and whether delivery is to be asked for more.
fn taken(pipe: &Pipe) -> (String, bool) {
    let (mut all, mut more) = (Vec::new(), false);
    while let Taken::Chunk { bytes, refill } = pipe.take(Instant::now()) {
        assert!(bytes.len() <= CHUNK);
        all.extend_from_slice(&bytes);
        more |= refill;
    }
    (String::from_utf8(all).unwrap(), more)
}

fn opened() -> Arc<Pipe> {
    let pipe = Arc::new(Pipe::new());
    assert_eq!(taken(&pipe), ("retry: 2000\n\n".to_owned(), false));
    pipe
}

#[test]
fn frames_become_events_named_by_their_type() {
    let pipe = opened();
    let (update, rows) = (r#"{"type":"update","topic":"a","seq":1}"#, r#"{"topics":[]}"#);
    let frames = [text(rows), text(update)];
    let bytes = frames.iter().map(Bytes::len).sum();
    assert_eq!(write(&pipe, &frames), Ok(bytes));
    let expected = format!("event: result\ndata: {rows}\n\nevent: update\ndata: {update}\n\n");
    assert_eq!(taken(&pipe), (expected.clone(), false));
    assert_eq!(pipe.take(Instant::now()), Taken::Nothing);
    // The same in one piece.
    let together = Bytes::from(frames.concat());
    assert_eq!(write(&pipe, &[together]), Ok(bytes));
    assert_eq!(taken(&pipe), (expected, false));
}

#[test]
fn only_texts_become_events() {
    let pipe = opened();
    let frames = [close(1000, "x"), text("{}"), frame(Opcode::Ping, b"p")];
    assert_eq!(write(&pipe, &frames), Ok(frames.iter().map(Bytes::len).sum()));
    assert_eq!(taken(&pipe).0, "event: result\ndata: {}\n\n");
}

#[test]
fn the_last_event_of_each_flush_has_the_id() {
    let pipe = opened();
    let row = SubscribeRow {
        topic: "a".into(),
        ok: true,
        epoch: Some(Arc::from("e1")),
        seq: Some(1),
        ..SubscribeRow::default()
    };
    pipe.identify(Positions::begin(&[row], true, None));
    write(&pipe, &[text("{}")]).unwrap();
    assert!(!taken(&pipe).0.contains("id:"), "nothing of the topic was sent");
    let update = |seq: u64| text(&format!(r#"{{"type":"update","topic":"a","seq":{seq}}}"#));
    write(&pipe, &[update(2), update(3)]).unwrap();
    write(&pipe, &[update(4)]).unwrap();
    let (events, _) = taken(&pipe);
    assert_eq!(events.matches("id:").count(), 1);
    assert!(events.ends_with("\"seq\":4}\nid: e1;a=4\n\n"), "{events}");
}

#[test]
fn it_is_bounded_and_takes_whole_frames_and_asks_for_more_when_there_is_room() {
    let pipe = opened();
    let frame = text(&"x".repeat(1000));
    let frames = vec![frame.clone(); 100];
    let first = write(&pipe, &frames).unwrap();
    assert_eq!(first % frame.len(), 0);
    assert!((WAITING_MAX - 2000..WAITING_MAX).contains(&first), "{first}");
    assert_eq!(write(&pipe, &frames), Err(io::ErrorKind::WouldBlock));
    let (events, refill) = taken(&pipe);
    assert!(refill && events.len() < WAITING_MAX + 2000);
    assert_eq!(write(&pipe, &frames), Ok(first));
    assert!(taken(&pipe).1);
    assert!(!taken(&pipe).1);
}

#[test]
fn a_message_longer_than_the_buffer_is_taken_alone() {
    let pipe = opened();
    let (short, long) = (text("{}"), text(&"x".repeat(2 * WAITING_MAX)));
    assert_eq!(write(&pipe, &[short.clone(), long.clone()]), Ok(short.len()));
    assert_eq!(write(&pipe, std::slice::from_ref(&long)), Err(io::ErrorKind::WouldBlock));
    assert!(taken(&pipe).1);
    assert_eq!(write(&pipe, &[long.clone(), short]), Ok(long.len()));
    assert!(taken(&pipe).0.len() > 2 * WAITING_MAX);
}

#[test]
fn waiting_begins_with_the_first_byte_and_restarts_with_each_that_is_taken() {
    let pipe = opened();
    let start = Instant::now();
    let rest = Flow {
        blocked: false,
        broken: false,
        progress: start,
        said: start,
        waiting: false,
        next_held: None,
        control_bytes: 0,
    };
    assert_eq!(pipe.flow(rest), rest);
    let frame = text(&"x".repeat(CHUNK + 100));
    write(&pipe, std::slice::from_ref(&frame)).unwrap();
    let began = pipe.flow(rest);
    assert!(began.waiting && began.progress >= start);
    write(&pipe, &[frame]).unwrap();
    assert_eq!(pipe.flow(rest).progress, began.progress);
    let later = start + std::time::Duration::from_secs(60);
    assert!(matches!(pipe.take(later), Taken::Chunk { .. }));
    assert_eq!(pipe.flow(rest).progress, later);
    taken(&pipe);
    assert!(!pipe.flow(rest).waiting);
}

#[test]
fn an_end_comes_after_what_waits_and_nothing_is_taken_for_a_connection_that_is_gone() {
    let pipe = opened();
    write(&pipe, &[text("{}")]).unwrap();
    pipe.finish();
    assert!(!taken(&pipe).0.is_empty());
    assert_eq!(pipe.take(Instant::now()), Taken::End);
    pipe.leave();
    assert_eq!(write(&pipe, &[text("{}")]), Err(io::ErrorKind::BrokenPipe));
}
