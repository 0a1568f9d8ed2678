"""An SSH server that makes the mistake of CVE-2023-42818.

credulous.py PORT PUBLIC_KEY CODE

It demands a key and a code, and notes the key in the callback that libraries
call when a client asks about it, which is before anybody has signed anything.
"""

import socket
import sys
import threading

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_PARTIALLY_SUCCESSFUL,
    AUTH_SUCCESSFUL,
    OPEN_SUCCEEDED,
)

PORT, KEY, CODE = int(sys.argv[1]), open(sys.argv[2]).read().split()[1], sys.argv[3]


class Credulous(paramiko.ServerInterface):
    shown = False

    def get_allowed_auths(self, username):
        return "publickey,keyboard-interactive"

    def check_auth_publickey(self, username, key):
        if key.get_base64() != KEY:
            return AUTH_FAILED
        self.shown = True
        return AUTH_PARTIALLY_SUCCESSFUL

    def check_auth_interactive(self, username, submethods):
        self.user = username
        return paramiko.InteractiveQuery("", "", ("Code: ", False))

    def check_auth_interactive_response(self, responses):
        return AUTH_SUCCESSFUL if self.shown and responses == [CODE] else AUTH_FAILED

    def check_channel_request(self, kind, number):
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        def answer():
            channel.sendall(b"as " + self.user.encode())
            channel.send_exit_status(0)
            channel.close()

        threading.Timer(0.1, answer).start()
        return True


listener = socket.create_server(("127.0.0.1", PORT))
print("listening", flush=True)
connection, _ = listener.accept()
transport = paramiko.Transport(connection)
transport.add_server_key(paramiko.RSAKey.generate(2048))
transport.start_server(server=Credulous())
transport.join(30)
