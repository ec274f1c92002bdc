//! The socket of a session: written by whoever flushes, read by the session's task.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use tokio::net::TcpStream;

use crate::delivery::SocketWriter;

/// The writing side.
pub(super) struct Writer(pub(super) Arc<TcpStream>);

impl SocketWriter for Writer {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }
}

/// Sets what the kernel does by default and a market-data stream does not want.
pub(super) fn configure(stream: &TcpStream, send_buffer: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Bounds what the kernel keeps for a client that has stopped reading: without it, megabytes
    // of outdated values stand between such a client and the newest one.
    socket2::SockRef::from(stream).set_send_buffer_size(send_buffer)
}
