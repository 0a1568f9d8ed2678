"""Many PAM logins that all stand at their prompt, and then answer alike in the same instant.

race.py LOGINS SERVICE USER [NAME=VALUE...] [KEPT STATE]

For every code on standard input: a round, and a line on standard output that
says how many were let in. NAME=VALUE goes into the PAM environment. Before a
round the file STATE is made anew from KEPT, where they are given.
"""

import ctypes
import os
import shutil
import sys

libc = ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
libc.strdup.restype = ctypes.c_void_p
libc.strdup.argtypes = [ctypes.c_char_p]
pam = ctypes.CDLL("libpam.so.0")


class Message(ctypes.Structure):
    _fields_ = [("style", ctypes.c_int), ("text", ctypes.c_char_p)]


class Response(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("code", ctypes.c_int)]


ANSWER = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.POINTER(Response)),
    ctypes.c_void_p,
)


class Conversation(ctypes.Structure):
    _fields_ = [("answer", ANSWER), ("data", ctypes.c_void_p)]


def log_in(service, user, environment, code, at_prompt):
    """One login; whether it was let in. `at_prompt` returns when all may answer."""

    def answer(count, messages, responses, _):
        given = libc.calloc(count, ctypes.sizeof(Response))
        responses[0] = ctypes.cast(given, ctypes.POINTER(Response))
        for index in range(count):
            if messages[index].contents.style in (1, 2):
                at_prompt()
                responses[0][index].text = libc.strdup(code)
        return 0

    conversation = Conversation(ANSWER(answer), None)
    handle = ctypes.c_void_p()
    pam.pam_start(service, user, ctypes.byref(conversation), ctypes.byref(handle))
    for setting in environment:
        pam.pam_putenv(handle, setting)
    return pam.pam_authenticate(handle, 0) == 0


def race(logins, service, user, environment, code):
    ready, said_ready = os.pipe()
    gate, gate_held = os.pipe()

    def at_prompt():
        os.write(said_ready, b"r")
        os.read(gate, 1)

    children = []
    for _ in range(logins):
        child = os.fork()
        if child == 0:
            os.close(gate_held)
            status = 2
            try:
                status = 0 if log_in(service, user, environment, code, at_prompt) else 1
            finally:
                os._exit(status)
        children.append(child)
    os.close(gate)
    waiting = 0
    while waiting < logins:
        waiting += len(os.read(ready, logins))
    os.close(gate_held)
    ends = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.close(ready)
    os.close(said_ready)
    if any(end not in (0, 1) for end in ends):
        raise SystemExit(f"a login ended with {ends}")
    return ends.count(0)


def main():
    logins, service, user, *more = sys.argv[1:]
    environment = [word.encode() for word in more if "=" in word]
    files = [word for word in more if "=" not in word]
    for line in sys.stdin:
        if files:
            shutil.copy(*files)
        print(race(int(logins), service.encode(), user.encode(), environment, line.strip().encode()), flush=True)


main()
