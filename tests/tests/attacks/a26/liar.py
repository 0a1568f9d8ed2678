"""An SSH client that lies about keys.

liar.py HOST:PORT USER OFFERED[,OFFERED...] SIGNING|- CODE

Asks the server about each OFFERED public key, as clients may before they
sign. Then, with a SIGNING key, sends a request that names the last OFFERED
key and carries a signature of SIGNING; with `-` it sends no signature at all
and goes on as if the question had been the proof. Then answers the prompts
with CODE and runs a command. Key names are files beside this program.
"""

import os
import queue
import sys

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST
from paramiko.message import Message

HERE = os.path.dirname(os.path.abspath(__file__))


class Forged(paramiko.PKey):
    """The public half of one key over the private half of another."""

    public_blob = None

    def __init__(self, public, private):
        self.public, self.private = public, private

    def asbytes(self):
        return self.public.asbytes()

    def get_name(self):
        return self.public.get_name()

    def can_sign(self):
        return True

    def sign_ssh_data(self, data, algorithm=None):
        return self.private.sign_ssh_data(data)


def key(name):
    return paramiko.Ed25519Key.from_private_key_file(os.path.join(HERE, name))


class Asking(AuthHandler):
    """Hears the answers itself; newer releases of paramiko let nobody set the table from outside."""

    heard = None
    _client_handler_table = property(lambda self: self.heard)


def ask(transport, user, public):
    """Asks whether a key would do; RFC 4252 section 7, without a signature."""
    answers = queue.Queue()
    handler = Asking(transport)
    handler.auth_method = "publickey"
    handler.username = user
    # Some releases of paramiko pass the handler along, some do not.
    # 60 is PK_OK in an answer to this question, 51 is a failure, 6 accepts the service.
    handler.heard = {
        6: lambda *_: answers.put(None),
        51: lambda *_: answers.put(False),
        60: lambda *_: answers.put(True),
    }
    transport.auth_handler = handler
    service = Message()
    service.add_byte(cMSG_SERVICE_REQUEST)
    service.add_string("ssh-userauth")
    transport._send_message(service)
    answers.get(timeout=20)
    question = Message()
    question.add_byte(cMSG_USERAUTH_REQUEST)
    question.add_string(user)
    question.add_string("ssh-connection")
    question.add_string("publickey")
    question.add_boolean(False)
    question.add_string(public.get_name())
    question.add_string(public.asbytes())
    transport._send_message(question)
    return answers.get(timeout=20)


def main():
    server, user, offered, signing, code = sys.argv[1:]
    host, port = server.rsplit(":", 1)
    transport = paramiko.Transport((host, int(port)))
    transport.start_client(timeout=20)
    names = offered.split(",")
    # The last of several is the one that is signed in good order, and need not be asked about.
    for name in names if len(names) == 1 else names[:-1]:
        print("offered:", "accepted" if ask(transport, user, key(name)) else "not accepted")
    try:
        if signing != "-":
            last = names[-1]
            sent = key(last) if last == signing else Forged(key(last), key(signing))
            print("signed:", transport.auth_publickey(user, sent))
        transport.auth_interactive(user, lambda title, text, prompts: [code] * len(prompts))
        channel = transport.open_session(timeout=20)
        channel.exec_command("whoami")
        print("ran:", channel.makefile().read().decode(errors="replace").strip())
    except (paramiko.SSHException, EOFError, OSError) as refusal:
        print(type(refusal).__name__, refusal)
        print("refused")
    transport.close()


main()
