"""A person with an invitation at a terminal of 80 x 24.

    terminal.py INVITATION COMMAND...

Types the invitation where a code is asked for, reads the key from the screen,
types first a wrong code and then the right one, and presses Enter under the
recovery codes. Prints one JSON object: the screen, and the exit code.
"""
import base64
import fcntl
import hashlib
import hmac
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 60


def code(key):
    secret = base64.b32decode(key + "=" * (-len(key) % 8))
    step = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.new(secret, step, hashlib.sha1).digest()
    at = digest[-1] & 15
    number = struct.unpack(">I", digest[at:at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def main():
    invitation, *command = sys.argv[1:]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    screen, looked, wrong = b"", 0, 0
    until = time.time() + PATIENCE
    while time.time() < until:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            more = os.read(terminal, 65536)
        except OSError:
            break
        if not more:
            break
        screen += more
        new = screen[looked:]
        answer = None
        if b"Verification code:" in new:
            answer = invitation
        elif b"Code of the new authenticator:" in new:
            wrong += 1
            keys = re.findall(rb"Key: ([A-Z2-7 ]+)", screen)
            right = code(keys[-1].decode().replace(" ", ""))
            answer = "no code" if wrong == 1 else right
        elif b"press Enter:" in new:
            answer = ""
        if answer is not None:
            looked = len(screen)
            os.write(terminal, answer.encode() + b"\r")
    else:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps({"screen": screen.decode("utf-8", "replace"), "code": status}))


main()
