//! Stories told over a real store in a temporary directory.
