"""What a program that uses libssh does, through its C interface:
with_libssh.py CODE USER COMMAND [TARGET], and as its own ProxyCommand: with_libssh.py CODE USER -W TARGET"""

import ctypes
import os
import select
import sys

HOST, USER, PROXY_COMMAND = 0, 4, 19  # ssh_options_e
KNOWN = 1  # SSH_KNOWN_HOSTS_OK
SUCCESS, PARTIAL, INFO = 0, 2, 3  # ssh_auth_e
ssh = ctypes.CDLL("libssh.so.4")
for function in ("ssh_new", "ssh_channel_new"):
    getattr(ssh, function).restype = ctypes.c_void_p
ssh.ssh_get_error.restype = ctypes.c_char_p
pointer = ctypes.c_void_p
code, user, command = sys.argv[1:4]
target = sys.argv[4] if len(sys.argv) > 4 else None


def check(session, result, what, wanted=(0,)):
    if result not in wanted:
        sys.exit(f"{what}: {ssh.ssh_get_error(session).decode()} ({result})")
    return result


def connect(host, as_user, through=None):
    session = pointer(ssh.ssh_new())
    options = {HOST: host, USER: as_user}
    if through:
        options[PROXY_COMMAND] = through
    for option, value in options.items():
        check(session, ssh.ssh_options_set(session, option, value.encode()), "options")
    check(session, ssh.ssh_connect(session), "connect")
    check(session, ssh.ssh_session_is_known_server(session), "host key", (KNOWN,))
    result = ssh.ssh_userauth_publickey_auto(session, None, None)
    if check(session, result, "key", (SUCCESS, PARTIAL)) == PARTIAL:
        result = ssh.ssh_userauth_kbdint(session, None, None)
        while result == INFO:
            for prompt in range(ssh.ssh_userauth_kbdint_getnprompts(session)):
                ssh.ssh_userauth_kbdint_setanswer(session, prompt, code.encode())
            result = ssh.ssh_userauth_kbdint(session, None, None)
        check(session, result, "code")
    return session


def run(session):
    channel = pointer(ssh.ssh_channel_new(session))
    check(session, ssh.ssh_channel_open_session(channel), "session")
    check(session, ssh.ssh_channel_request_exec(channel, command.encode()), "command")
    buffer = ctypes.create_string_buffer(65536)
    while (size := ssh.ssh_channel_read(channel, buffer, len(buffer), 0)) > 0:
        sys.stdout.buffer.write(buffer.raw[:size])
    sys.stdout.flush()
    status = ssh.ssh_channel_get_exit_status(channel)
    ssh.ssh_disconnect(session)
    return status


def relay(session, host):
    channel = pointer(ssh.ssh_channel_new(session))
    check(session, ssh.ssh_channel_open_forward(channel, host.encode(), 22, b"127.0.0.1", 0), "forward")
    buffer = ctypes.create_string_buffer(65536)
    sources = [0, ssh.ssh_get_fd(session)]
    while not ssh.ssh_channel_is_eof(channel):
        ready = select.select(sources, [], [], 0.1)[0]
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            ssh.ssh_channel_write(channel, data, len(data))
        while (size := ssh.ssh_channel_read_nonblocking(channel, buffer, len(buffer), 0)) > 0:
            os.write(1, buffer.raw[:size])
    ssh.ssh_disconnect(session)


if command == "-W":
    relay(connect("bastion", user), target)
elif target is None:
    sys.exit(run(connect("bastion", user)))
else:
    # libssh hands its ProxyCommand to a shell; none of the words has anything special in it.
    through = f"python3 {sys.argv[0]} {code} {user} -W {target}"
    sys.exit(run(connect(target, "ops", through)))
