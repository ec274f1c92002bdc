//! Delivery without threads and sockets: a [`world::World`] owns an index, its outlet and clients
//! whose sockets take exactly what a test lets them take. Time is what the test says it is.

mod backlog;
mod begun;
mod lane;
mod latest;
mod model;
mod overflow;
mod panics;
mod random;
mod rates;
mod resuming;
mod run;
mod stages;
mod status;
mod steps;
mod stress;
mod subscriber;
mod subscribing;
mod terms;
mod totals;
mod verdict;
pub(super) mod visits;
mod walks;
mod wire;
mod world;
mod writing;
