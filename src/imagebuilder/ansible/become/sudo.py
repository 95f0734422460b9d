"""Become another user of the image without sudo in it.

It takes the place of Ansible's `sudo`, the default and what old roles name.
The build is root already; any other user is reached by `runuser`, which every
Debian has (util-linux) and which asks for no password.
"""

from __future__ import annotations

import shlex
from typing import Any

from ansible.plugins.become import BecomeBase

# Ansible reads this to learn from where the option is set.
DOCUMENTATION = """
name: sudo
short_description: Become another user of the image
options:
  become_user:
    description: The user to become.
    default: root
    keyword: [{name: become_user}]
    vars: [{name: ansible_become_user}]
"""


class BecomeModule(BecomeBase):
    """`become: true` and `become_user:`."""

    name = "sudo"

    def build_become_command(self, cmd: str, shell: Any) -> str:
        """The command line that runs `cmd` as the wanted user."""
        super().build_become_command(cmd, shell)
        user = self.get_option("become_user")
        if not cmd or user == "root":
            return cmd
        return f"runuser -s /bin/sh {shlex.quote(user)} -c {shlex.quote(cmd)}"
