//! Each known way out of a session as a safe call, for tests only.
