//! A target that sends everything back, for thousands of connections: the
//! lab's own starts a program for each.

use anyhow::{Context, Result};
use jump_lab::machine::Machine;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

/// Its TCP port, one of those that the lab's policy names.
pub(crate) const PORT: u16 = 9001;
/// A connection's thread does next to nothing.
const STACK: usize = 64 * 1024;

/// Listens in the network of `machine` until the program ends.
pub(crate) fn serve(machine: &Machine) -> Result<()> {
    let network = File::open(format!("/proc/{}/ns/net", machine.leader()))?;
    let (told, listening) = mpsc::channel();
    std::thread::spawn(move || {
        // The thread alone moves there; its sockets stay there.
        let listener = setns(&network, CloneFlags::CLONE_NEWNET)
            .map_err(std::io::Error::from)
            .and_then(|()| TcpListener::bind(("::", PORT)));
        match listener {
            Ok(listener) => {
                let _told = told.send(Ok(()));
                for connection in listener.incoming().flatten() {
                    let _started = std::thread::Builder::new()
                        .stack_size(STACK)
                        .spawn(move || echo(connection));
                }
            }
            Err(e) => {
                let _told = told.send(Err(e));
            }
        }
    });
    listening.recv()?.context("the echo target cannot listen")
}

fn echo(mut connection: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length) = connection.read(&mut buffer) {
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        if connection.write_all(bytes).is_err() {
            return;
        }
    }
}
