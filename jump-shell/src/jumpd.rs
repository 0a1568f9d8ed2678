//! Questions to jumpd over the session's attested socket.
//!
//! jumpd may be restarted under a shell that lives for hours, so a channel
//! that has been closed is opened again, once, for the next question.

use jump_proto::{Channel, ChannelError, Reply, Request, TIMEOUT};
use std::path::{Path, PathBuf};

/// jumpd, as far as this session can reach it.
#[derive(Debug)]
pub(crate) struct Jumpd {
    socket: PathBuf,
    channel: Option<Channel>,
}

impl Jumpd {
    /// jumpd at `socket`; nothing is connected yet.
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), channel: None }
    }

    /// Asks one question and waits for its answer, at most three seconds each for
    /// the connection, the question and the answer.
    ///
    /// # Errors
    /// When jumpd cannot be reached or does not answer.
    pub(crate) fn ask(&mut self, question: &Request) -> Result<Reply, ChannelError> {
        if let Some(channel) = self.channel.take() {
            match channel.call(question) {
                Ok(reply) => {
                    self.channel = Some(channel);
                    return Ok(reply);
                }
                // The jumpd that had this channel is gone; another may be there.
                Err(ChannelError::Closed) => {}
                // A late answer must never be taken for that of a later
                // question, so the channel is not kept.
                Err(other) => return Err(other),
            }
        }
        let channel = Channel::connect(&self.socket, TIMEOUT)?;
        let reply = channel.call(question)?;
        self.channel = Some(channel);
        Ok(reply)
    }

    /// Closes the channel; the next question opens another.
    pub(crate) fn hang_up(&mut self) {
        self.channel = None;
    }
}
