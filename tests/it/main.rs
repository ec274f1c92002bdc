//! The whole server over real sockets, a file a theme.

mod support;

mod delivery;
mod documents;
mod layering;
mod life;
mod limits;
mod markets;
mod protocol;
