"""What an admin who uses asyncssh writes: with_asyncssh.py CODE USER COMMAND [TARGET]"""

import asyncio
import sys

import asyncssh

code, user, command = sys.argv[1:4]
target = sys.argv[4] if len(sys.argv) > 4 else None


class Admin(asyncssh.SSHClient):
    """Answers the bastion's prompt, once."""

    asked = False

    def kbdint_auth_requested(self):
        return None if self.asked else ""

    def kbdint_challenge_received(self, name, instructions, lang, prompts):
        self.asked = self.asked or bool(prompts)
        return [code for _ in prompts]


async def main():
    common = {"client_keys": [".ssh/id_ed25519"], "known_hosts": ".ssh/known_hosts", "config": None}
    bastion = await asyncssh.connect("bastion", username=user, client_factory=Admin, **common)
    async with bastion:
        if target is None:
            return await bastion.run(command)
        async with asyncssh.connect(target, username="ops", tunnel=bastion, **common) as inner:
            return await inner.run(command)


done = asyncio.run(main())
print(done.stdout, end="")
sys.exit(done.exit_status)
