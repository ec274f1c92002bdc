//! The socket of a session: written by whoever flushes, read by the session's task.

use std::{
    hint::black_box,
    io::{self, IoSlice},
    os::fd::AsRawFd,
};

use rustix::{
    io::Errno,
    net::{self, SendFlags},
};
use tokio::net::TcpStream;

use crate::delivery::SocketWriter;

impl SocketWriter for TcpStream {
    /// Asks the kernel and not the reactor whether the socket takes more: whoever writes so knows
    /// already when it does not, and the reactor's state is one more line of memory to fetch for
    /// each of many clients. Only what the kernel refuses is told to the reactor, by asking again.
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match socket2::SockRef::from(self).send_vectored(slices) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Self::try_write_vectored(self, slices)
            }
            done => done,
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        // Not by way of the C library, which on every call provides for a thread that is cancelled.
        // (The vectored way is the rarer one.)
        match net::send(self, bytes, SendFlags::empty()) {
            Err(Errno::AGAIN) => Self::try_write(self, bytes),
            done => Ok(done?),
        }
    }

    fn approach(&self) {
        black_box(self.as_raw_fd());
    }
}

/// Sets what the kernel does by default and a market-data stream does not want.
pub(super) fn configure(stream: &TcpStream, send_buffer: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Bounds what the kernel keeps for a client that has stopped reading: without it, megabytes
    // of outdated values stand between such a client and the newest one.
    socket2::SockRef::from(stream).set_send_buffer_size(send_buffer)
}
