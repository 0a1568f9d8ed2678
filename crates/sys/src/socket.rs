//! Sockets of other tasks.
