//! The system calls of a hop, as data: one line and one reason for each.
//!
//! [`HOP`] is ssh's, with all the libraries that it may be linked with, on every
//! supported host; [`RUNNER`] is what the process that starts it needs besides.
//! Whatever else is called kills, but for [`PROBED`], which libraries try and do
//! without. Neither list lets a socket listen, a file be made, a process be traced
//! or signalled; ssh's lets none be started. The session's own filter lies
//! beneath, as for the shell, and its guard decides each connect(2).

use super::calls::rules;
use super::filter::{Argument, Rule};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, F_DUPFD, F_DUPFD_CLOEXEC,
    F_GETFD, F_GETFL, F_SETFD, F_SETFL, O_CREAT, O_TRUNC, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG,
    PROT_EXEC, PROT_WRITE, SIGCHLD, SIGKILL, SO_ERROR, SO_KEEPALIVE, SOCK_STREAM, SOL_SOCKET,
};

const SET_FILTER: i32 = libc::SECCOMP_SET_MODE_FILTER.cast_signed();
/// The limit of processes.
const NPROC: i32 = libc::RLIMIT_NPROC.cast_signed();
/// What fork(3) asks for.
const FORK: i32 = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
/// A new file, or an emptied one.
const MAKES: i32 = O_CREAT | O_TRUNC;
const TCGETS: i32 = libc::TCGETS as i32;
const TCSETS: i32 = libc::TCSETS as i32;
const TCSETSW: i32 = libc::TCSETSW as i32;
const TCSETSF: i32 = libc::TCSETSF as i32;
const TCGETS2: i32 = libc::TCGETS2 as i32;
const TCSETS2: i32 = libc::TCSETS2 as i32;
const TCSETSW2: i32 = libc::TCSETSW2 as i32;
const TCSETSF2: i32 = libc::TCSETSF2 as i32;
const TIOCGWINSZ: i32 = libc::TIOCGWINSZ as i32;
const TIOCGPGRP: i32 = libc::TIOCGPGRP as i32;
const TIOCSPGRP: i32 = libc::TIOCSPGRP as i32;
const TCFLSH: i32 = libc::TCFLSH as i32;

/// ssh, from its start to its end.
pub const HOP: &[Rule] = rules! {
    SYS_execve => "becoming ssh; Landlock leaves no other program";

    SYS_read => "files, the target, the agent, the user";
    SYS_pread64 => "headers of libraries";
    SYS_readv => "buffered files, in some C libraries";
    SYS_write => "the target, the agent, the user";
    SYS_writev => "sentences of the C library";
    SYS_lseek => "files of the name service";
    SYS_close => "files that are done with";
    SYS_close_range => "ssh closes what it did not open";
    SYS_dup => "ssh keeps copies of its three files";
    #[cfg(target_arch = "x86_64")]
    SYS_dup2 => "ssh's three files, and its standard error at the end";
    SYS_dup3 => "the same, on newer hosts";
    SYS_fcntl [is(1, F_GETFD)] [is(1, F_SETFD)] [is(1, F_GETFL)] [is(1, F_SETFL)] [is(1, F_DUPFD)] [is(1, F_DUPFD_CLOEXEC)] => "files that do not block; no lock, no lease, no owner to be signalled";
    #[cfg(target_arch = "x86_64")]
    SYS_poll => "waiting";
    SYS_ppoll => "waiting";
    #[cfg(target_arch = "x86_64")]
    SYS_select => "waiting, in older releases";
    SYS_pselect6 => "waiting, in older releases";
    SYS_ioctl [is(1, TCGETS)] [is(1, TCSETS)] [is(1, TCSETSW)] [is(1, TCSETSF)] [is(1, TCGETS2)] [is(1, TCSETS2)] [is(1, TCSETSW2)] [is(1, TCSETSF2)] [is(1, TIOCGWINSZ)] [is(1, TIOCGPGRP)] => "the modes and the size of the hop's own terminal; nothing is typed into it (TIOCSTI)";

    SYS_openat [without(2, MAKES)] => "libraries, the user's name, known host keys; nothing is made or emptied";
    #[cfg(target_arch = "x86_64")]
    SYS_open [without(1, MAKES)] => "the same, in older libraries";
    #[cfg(target_arch = "x86_64")]
    SYS_access => "ld.so and SELinux's library ask whether a file is there";
    SYS_faccessat => "the same";
    SYS_faccessat2 => "the same, on newer hosts";
    #[cfg(target_arch = "x86_64")]
    SYS_stat => "files, in older libraries";
    #[cfg(target_arch = "x86_64")]
    SYS_lstat => "files, in older libraries";
    SYS_fstat => "files";
    SYS_newfstatat => "files";
    SYS_statx => "files, on newer hosts";
    SYS_statfs => "SELinux's library looks for its file system";
    #[cfg(target_arch = "x86_64")]
    SYS_readlink => "libraries by their links";
    SYS_readlinkat => "libraries by their links";
    SYS_getdents64 => "closing files by list, where close_range(2) is not known";
    SYS_umask => "ssh looks at its mask";

    SYS_socket [is(0, AF_UNIX), kind(1, SOCK_STREAM), is(2, 0)] [is(0, AF_INET), kind(1, SOCK_STREAM)] [is(0, AF_INET6), kind(1, SOCK_STREAM)] => "the agent and the name service's cache; TCP to the target (the session's filter refuses other stream protocols)";
    SYS_connect => "the agent and the target; the guard decides each";
    SYS_sendto [null(4)] => "the name service's cache; never with an address";
    SYS_recvfrom => "the name service's cache";
    SYS_shutdown => "the end of a connection";
    SYS_getsockname => "ssh knows its own address";
    SYS_getpeername => "ssh knows the target's address";
    SYS_getsockopt [is(1, SOL_SOCKET), is(2, SO_ERROR)] [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_NODELAY)] [is(1, libc::IPPROTO_IP)] [is(1, libc::IPPROTO_IPV6)] => "what became of a connection that was begun; its options";
    SYS_setsockopt [is(1, SOL_SOCKET), is(2, SO_KEEPALIVE)] [is(1, libc::IPPROTO_TCP), is(2, libc::TCP_NODELAY)] [is(1, libc::IPPROTO_IP), is(2, libc::IP_TOS)] [is(1, libc::IPPROTO_IPV6), is(2, libc::IPV6_TCLASS)] => "no delay of keystrokes, no dead target unnoticed, the kind of traffic; no source routes";

    SYS_brk => "memory";
    SYS_mmap [without(2, PROT_EXEC)] [without(2, PROT_WRITE)] => "memory and libraries; never what can be written and run";
    SYS_mprotect [without(2, PROT_EXEC)] => "ld.so takes the right to write; nobody gives the right to run";
    SYS_munmap => "memory given back";
    SYS_mremap => "memory that grows";
    SYS_madvise => "memory given back";
    SYS_futex => "locks of libraries, though there is one thread";

    SYS_rt_sigaction => "ssh's handlers";
    SYS_rt_sigprocmask => "ssh waits with signals blocked";
    SYS_rt_sigreturn => "the end of a handler";
    SYS_sigaltstack => "start and end of a program";
    SYS_restart_syscall => "a wait that a stop interrupted";

    SYS_getpid => "seeds of random numbers";
    SYS_gettid => "sentences of the C library";
    SYS_getppid => "whether the runner is still there";
    SYS_getuid => "whose name to look up";
    SYS_geteuid => "the same";
    SYS_getgid => "the same";
    SYS_getegid => "the same";
    #[cfg(target_arch = "x86_64")]
    SYS_getpgrp => "whether ssh is in the foreground";
    SYS_getpgid => "whether ssh is in the foreground";
    SYS_getrandom => "keys";
    SYS_clock_gettime => "the time, where the kernel's shared page does not tell it";
    SYS_gettimeofday => "the same";
    #[cfg(target_arch = "x86_64")]
    SYS_time => "the same";
    SYS_clock_nanosleep => "ssh pauses before it tries an address again";
    SYS_nanosleep => "the same";
    SYS_uname => "the host's name, in log lines";
    SYS_sysinfo => "the C library sorts by how much memory there is";
    SYS_sched_getaffinity => "libraries count processors";
    SYS_sched_yield => "locks of libraries";
    SYS_prlimit64 [null(2)] => "limits are read and never set";
    SYS_getrlimit => "limits, in older libraries";

    SYS_set_tid_address => "start of a program";
    SYS_set_robust_list => "start of a program";
    SYS_rseq => "start of a program";
    #[cfg(target_arch = "x86_64")]
    SYS_arch_prctl => "start of a program";
    SYS_exit => "the end";
    SYS_exit_group => "the end";
};

/// The runner, besides [`HOP`].
pub const RUNNER: &[Rule] = rules! {
    SYS_clone [is(0, FORK)] => "the process that becomes ssh; no thread, no namespace";
    SYS_setpgid => "ssh has a process group of its own";
    SYS_ioctl [is(1, TIOCSPGRP)] [is(1, TCFLSH)] => "ssh is in the foreground; nothing of the hop before is left";
    SYS_prctl [is(0, PR_SET_PDEATHSIG), is(1, SIGKILL)] [is(0, PR_SET_NO_NEW_PRIVS)] => "ssh does not outlive the runner; asked for again before ssh's list";
    SYS_seccomp [is(0, SET_FILTER)] => "ssh's list; a filter only ever takes away";
    SYS_prlimit64 [is(0, 0), is(1, NPROC)] => "ssh starts no process";
    SYS_pidfd_open => "a handle on ssh";
    SYS_pidfd_send_signal => "ending ssh when the shell says so";
    SYS_wait4 => "how ssh ended";
    SYS_recvmsg => "what the shell asks for";
};

/// Answered with ENOSYS: libraries try these and do without.
pub const PROBED: &[Rule] = rules! {
    SYS_clone3 => "the C library takes clone(2) then; its flags are behind a pointer";
    SYS_openat2 => "newer libraries take openat(2) then; its flags are behind a pointer";
    SYS_epoll_create1 => "name services that wait for a daemon";
    SYS_timerfd_create => "name services that wait for a daemon";
    SYS_inotify_init1 => "name services that watch files";
    SYS_memfd_create => "libraries that share memory";
    SYS_membarrier => "unloading a library";
    SYS_mseal => "ld.so of newer C libraries";
    SYS_get_mempolicy => "libraries that know of memory's place";
    SYS_getgroups => "libraries that ask what a user may";
    SYS_keyctl => "Kerberos, which no hop uses";
};
