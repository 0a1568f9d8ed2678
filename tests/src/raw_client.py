"""An SSH client that does what OpenSSH's does not, step by step.

    raw_client.py HOST USER STEP...

Steps: key, code:123456, tcp:HOST:PORT, session:COMMAND, no-more-sessions.
Each prints one line: the step, and what came of it.
"""
import sys

import paramiko

WAIT = 3


def main():
    host, user, *steps = sys.argv[1:]
    transport = paramiko.Transport((host, 22))
    transport.start_client(timeout=30)
    for step in steps:
        name, _, rest = step.partition(":")
        try:
            came = STEPS[name](transport, user, rest)
        except paramiko.ChannelException as refusal:
            came = f"refused {refusal.code}"
        except (paramiko.SSHException, EOFError, OSError) as trouble:
            came = f"nothing: {type(trouble).__name__}"
        print(f"{step} -> {came}", flush=True)
    transport.close()


def key(transport, user, _):
    mine = paramiko.Ed25519Key.from_private_key_file(".ssh/id_ed25519")
    left = transport.auth_publickey(user, mine)
    return f"then {','.join(left)}" if left else "in"


def code(transport, user, text):
    left = transport.auth_interactive(user, lambda _title, _text, prompts: [text] * len(prompts))
    return f"then {','.join(left)}" if left else "in"


def answer(channel):
    channel.settimeout(WAIT)
    try:
        channel.sendall(b"hello\n")
    except OSError:
        # A quick command has ended before it was said; what it said is there.
        pass
    try:
        return f"open, {channel.recv(64)!r}"
    except TimeoutError:
        return "open, silent"


def tcp(transport, _, destination):
    name, _, port = destination.rpartition(":")
    place = (name, int(port))
    return answer(transport.open_channel("direct-tcpip", place, ("127.0.0.1", 0), timeout=WAIT))


def session(transport, _, command):
    channel = transport.open_session(timeout=WAIT)
    channel.exec_command(command)
    return answer(channel)


def no_more_sessions(transport, _user, _rest):
    transport.global_request("no-more-sessions@openssh.com", wait=False)
    return "said"


STEPS = {
    "key": key,
    "code": code,
    "tcp": tcp,
    "session": session,
    "no-more-sessions": no_more_sessions,
}

if __name__ == "__main__":
    main()
