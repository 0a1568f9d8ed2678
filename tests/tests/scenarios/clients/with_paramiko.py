"""What an admin who uses paramiko writes: with_paramiko.py CODE USER COMMAND [TARGET]"""

import socket
import sys

import paramiko

code, user, command = sys.argv[1:4]
target = sys.argv[4] if len(sys.argv) > 4 else None
key = paramiko.Ed25519Key.from_private_key_file(".ssh/id_ed25519")
known = paramiko.HostKeys(".ssh/known_hosts")


def connect(connection, name):
    transport = paramiko.Transport(connection)
    transport.start_client(timeout=20)
    if not known.check(name, transport.get_remote_server_key()):
        sys.exit(f"{name} has another host key")
    return transport


def run(transport):
    channel = transport.open_session()
    channel.exec_command(command)
    said = b""
    while data := channel.recv(65536):
        said += data
    print(said.decode(), end="")
    return channel.recv_exit_status()


bastion = connect(socket.create_connection(("bastion", 22)), "bastion")
remaining = bastion.auth_publickey(user, key)
if remaining != ["keyboard-interactive"]:
    sys.exit(f"after the key the bastion wants {remaining}")
bastion.auth_interactive(user, lambda title, instructions, prompts: [code for _ in prompts])
if target is None:
    status = run(bastion)
else:
    inner = connect(bastion.open_channel("direct-tcpip", (target, 22), ("127.0.0.1", 0)), target)
    inner.auth_publickey("ops", key)
    status = run(inner)
    inner.close()
bastion.close()
sys.exit(status)
