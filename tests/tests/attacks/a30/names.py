"""Logs in, or tries to, under names that no client of good manners sends.

names.py HOST:PORT < a JSON list of names; prints how many were refused.
"""

import json
import sys

import paramiko

host, port = sys.argv[1].rsplit(":", 1)
refused = 0
for name in json.load(sys.stdin):
    transport = paramiko.Transport((host, int(port)))
    transport.start_client(timeout=20)
    try:
        transport.auth_interactive(name, lambda title, text, prompts: ["x"] * len(prompts))
    except (paramiko.SSHException, EOFError, OSError):
        refused += 1
    transport.close()
print(refused)
