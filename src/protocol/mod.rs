//! The wire, version 1: codes, commands in, events out, WebSocket frames. Pure.

pub mod code;
pub mod command;
pub mod deflate;
pub mod encoding;
pub mod event;
pub mod frame;
pub mod msgpack;
pub mod params;

/// The protocol's name, without an encoding.
pub const NAME: &str = "tickwire.v1";
/// The subprotocol that is spoken when none is offered.
pub const SUBPROTOCOL_JSON: &str = "tickwire.v1.json";
/// The subprotocol with the same messages as MessagePack in binary frames.
pub const SUBPROTOCOL_MSGPACK: &str = "tickwire.v1.msgpack";
/// What the server calls itself.
pub const SERVER: &str = concat!("tickwire/", env!("CARGO_PKG_VERSION"));
