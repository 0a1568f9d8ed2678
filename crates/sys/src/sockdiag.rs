//! The end of every TCP socket.
