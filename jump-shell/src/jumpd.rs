//! Questions to jumpd over the session's attested socket.
//!
//! They are sent with send(2), never sendmsg(2): the session's filter stops the
//! latter, whose address no filter can see, for the guard to judge.
//!
//! jumpd may be restarted under a shell that lives for hours, so a channel
//! that has been closed is opened again, once, for the next question.

use jump_proto::{Channel, ChannelError, MAX_MESSAGE, Reply, Request, TIMEOUT};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// jumpd, as far as this session can reach it.
#[derive(Debug)]
pub(crate) struct Jumpd {
    socket: PathBuf,
    channel: Option<Channel>,
}

impl Jumpd {
    /// jumpd at `socket`; nothing is connected yet.
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            channel: None,
        }
    }

    /// Asks one question and waits for its answer, at most three seconds each for
    /// the connection, the question and the answer.
    ///
    /// # Errors
    /// When jumpd cannot be reached or does not answer.
    pub(crate) fn ask(&mut self, question: &Request) -> Result<Reply, ChannelError> {
        if let Some(channel) = self.channel.take() {
            match call(&channel, question) {
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
        let reply = call(&channel, question)?;
        self.channel = Some(channel);
        Ok(reply)
    }

    /// Asks one question whose answer takes jumpd long, on a channel of its own. It is never asked
    /// twice, whatever becomes of jumpd meanwhile: nothing comes back where it was asked and not answered.
    ///
    /// # Errors
    /// When jumpd cannot be reached, so that nothing was asked.
    pub(crate) fn ask_patiently(
        &self,
        question: &Request,
        patience: Duration,
    ) -> Result<Option<Reply>, ChannelError> {
        let channel = Channel::connect(&self.socket, TIMEOUT)?;
        channel.set_timeout(Some(patience))?;
        Ok(call(&channel, question).ok())
    }

    /// Sends a question without waiting for its answer, which [`Jumpd::finish`] reads; nothing else may be
    /// asked before.
    ///
    /// # Errors
    /// When jumpd cannot be reached.
    pub(crate) fn begin(&mut self, question: &Request) -> Result<(), ChannelError> {
        if let Some(channel) = self.channel.take()
            && channel.send_now(question).is_ok()
        {
            self.channel = Some(channel);
            return Ok(());
        }
        let channel = Channel::connect(&self.socket, TIMEOUT)?;
        channel.send_now(question)?;
        self.channel = Some(channel);
        Ok(())
    }

    /// Where the answer to [`Jumpd::begin`] comes from.
    pub(crate) fn awaited(&self) -> Option<BorrowedFd<'_>> {
        self.channel.as_ref().map(AsFd::as_fd)
    }

    /// Reads the answer that is there; none when jumpd went instead.
    pub(crate) fn finish(&mut self) -> Option<Reply> {
        let reply = self.channel.as_ref()?.recv().ok().flatten();
        if reply.is_none() {
            self.hang_up();
        }
        reply
    }

    /// Where jumpd listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Closes the channel; the next question opens another.
    pub(crate) fn hang_up(&mut self) {
        self.channel = None;
    }
}

fn call(channel: &Channel, question: &Request) -> Result<Reply, ChannelError> {
    let packet = serde_json::to_vec(question)?;
    if packet.len() > MAX_MESSAGE {
        return Err(ChannelError::TooLarge(packet.len()));
    }
    loop {
        match rustix::net::send(channel, &packet, SendFlags::NOSIGNAL) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    channel.recv()?.ok_or(ChannelError::Closed)
}
