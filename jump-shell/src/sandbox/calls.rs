//! The system calls of the shell, as data: one line and one reason for each.
//!
//! [`SHELL`] is in force from the start on, [`RELAY`] in addition once a
//! connection stands; those of a hop are in [`super::hop_calls`]. The session's own filter lies beneath: a call that is
//! allowed here may still be refused or, as connect(2), be decided by the
//! guard there. In brackets: what the arguments must be, each bracket one way.

use super::filter::{Argument, Rule};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, F_GETFD, IPPROTO_TCP, MAP_ANONYMOUS, PR_SET_NO_NEW_PRIVS,
    PROT_EXEC, SHUT_WR, SO_ERROR, SO_KEEPALIVE, SO_RCVTIMEO, SO_SNDTIMEO, SOCK_CLOEXEC,
    SOCK_NONBLOCK, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY,
};

const SET_FILTER: i32 = libc::SECCOMP_SET_MODE_FILTER.cast_signed();
/// A socket as the channel to jumpd asks for it.
const TO_JUMPD: i32 = SOCK_SEQPACKET | SOCK_CLOEXEC;
/// A socket as the connection to a target asks for it.
const TO_TARGET: i32 = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
/// The timeouts that are 64 bits wide everywhere (asm-generic/socket.h); libc names only the older.
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;
/// What tcsetattr(3) asks for, at once and without waiting; the older where a kernel lacks the newer.
const SET_MODES: i32 = libc::TCSETS2 as i32;
const SET_MODES_OLD: i32 = libc::TCSETS as i32;
/// What tcgetwinsize(3) asks for, and tcsetwinsize(3).
const WINDOW_SIZE: i32 = libc::TIOCGWINSZ as i32;
const SET_WINDOW_SIZE: i32 = libc::TIOCSWINSZ as i32;

macro_rules! rules {
    ($($(#[$for:meta])* $call:ident $([$($test:ident($($of:expr),+)),+])* => $why:literal;)*) => {
        &[$(
            $(#[$for])*
            Rule {
                // Without its "SYS_".
                name: stringify!($call).split_at(4).1,
                number: libc::$call,
                when: &[$(&[$(Argument::$test($($of),+)),+]),*],
                why: $why,
            },
        )*]
    };
}
pub(super) use rules;

/// From the shell's start to its end.
pub const SHELL: &[Rule] = rules! {
    SYS_read => "commands the user types, keyboard signals, bytes to relay";
    SYS_write => "answers, sentences, bytes to relay";
    SYS_ppoll => "waiting for the user, for a connection, for either side of a relay";
    SYS_splice => "relaying between a pipe and the target without a copy";
    SYS_sendto [null(4)] => "questions to jumpd, relaying to a connected socket; never with an address";
    SYS_shutdown [is(1, SHUT_WR)] => "passing on the end of one side's input";
    #[cfg(target_arch = "x86_64")]
    SYS_dup2 [is(1, 1)] => "closing standard output when the target has said all";
    #[cfg(not(target_arch = "x86_64"))]
    SYS_dup3 [is(1, 1)] => "closing standard output when the target has said all";
    SYS_close => "channels and connections that are done with";

    SYS_socket [is(0, AF_UNIX), is(1, TO_JUMPD), is(2, 0)] [is(0, AF_INET), is(1, TO_TARGET), is(2, 0)] [is(0, AF_INET6), is(1, TO_TARGET), is(2, 0)] => "a channel to jumpd; a TCP connection to a target; no other kind";
    SYS_connect => "jumpd, also after its restart, and a target; the guard decides each";
    SYS_recvmsg => "answers of jumpd";
    SYS_recvfrom [null(4)] => "what the recorder of a hop has kept";
    SYS_setsockopt [is(1, SOL_SOCKET), is(2, SO_RCVTIMEO_NEW)] [is(1, SOL_SOCKET), is(2, SO_SNDTIMEO_NEW)] [is(1, SOL_SOCKET), is(2, SO_RCVTIMEO)] [is(1, SOL_SOCKET), is(2, SO_SNDTIMEO)] [is(1, SOL_SOCKET), is(2, SO_KEEPALIVE)] [is(1, IPPROTO_TCP), is(2, TCP_NODELAY)] => "no wait for jumpd without end; no delay of keystrokes, no dead target unnoticed";
    SYS_getsockopt [is(1, SOL_SOCKET), is(2, SO_ERROR)] => "what became of a connection that was begun";

    SYS_ioctl [is(1, SET_MODES)] [is(1, SET_MODES_OLD)] [is(1, WINDOW_SIZE)] [is(1, SET_WINDOW_SIZE)] => "a terminal passes on every key while a line is edited, shows no code, and has a size, which a hop's terminal gets as well; nothing else of it (TIOCSTI would type for the user)";

    SYS_rt_sigprocmask => "giving Ctrl-C its usual meaning back for a relay";
    SYS_prctl [is(0, PR_SET_NO_NEW_PRIVS)] => "asked for again, whether it holds or not, before the second list";
    SYS_seccomp [is(0, SET_FILTER)] => "the second list; a filter only ever takes away";

    SYS_brk => "memory";
    SYS_mmap [without(2, PROT_EXEC), with(3, MAP_ANONYMOUS)] => "memory in large pieces; never of a file, never to run";
    SYS_mremap => "memory that grows";
    SYS_munmap => "memory given back";
    SYS_clock_gettime => "the time, where the kernel's shared page does not tell it";
    SYS_getrandom => "seeds of Rust's hash maps and of malloc, at first use";

    SYS_futex => "unwinding a panic: pthread_once(3) wakes its waiters, whether there are any or not";
    SYS_fcntl [is(1, F_GETFD)] => "a build with debug assertions looks whether what it closes is open";
    SYS_sigaltstack => "Rust gives its overflow stack back when main ends";
    SYS_exit_group => "the end";
};

/// In addition, from the moment a connection stands: nothing can be opened,
/// asked or connected any more.
pub const RELAY: &[Rule] = rules! {
    SYS_read => "bytes of a terminal or of the target";
    SYS_write => "bytes to a terminal; the last sentence";
    SYS_ppoll => "waiting for either side";
    SYS_splice => "bytes between a pipe and the target";
    SYS_sendto [null(4)] => "bytes to a connected socket; never with an address";
    SYS_shutdown [is(1, SHUT_WR)] => "passing on the end of one side's input";
    #[cfg(target_arch = "x86_64")]
    SYS_dup2 [is(1, 1)] => "closing standard output when the target has said all";
    #[cfg(not(target_arch = "x86_64"))]
    SYS_dup3 [is(1, 1)] => "closing standard output when the target has said all";
    SYS_close => "the connection, at the end";
    SYS_brk => "memory for the last sentence";
    SYS_munmap => "memory given back at the end";
    SYS_fcntl [is(1, F_GETFD)] => "a build with debug assertions looks whether what it closes is open";
    SYS_sigaltstack => "Rust gives its overflow stack back when main ends";
    SYS_exit_group => "the end";
};
