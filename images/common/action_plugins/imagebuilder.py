"""The task `imagebuilder:` of the wrapper playbooks: one image, by the `imagebuilder` program.

It stands alone, so that it also works under an `ansible-playbook` that is
installed apart from the program.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

_TREE = Path(__file__).resolve().parents[2]
_OWN_VARIABLES = ("config_file", "provisioner")
_ARGUMENTS = {
    "kind": {"type": "str", "required": True, "choices": ["initrd", "base", "overlay"]},
    "config_file": {"type": "str", "required": True},
    "provisioner": {"type": "str"},
}


class ActionModule(ActionBase):
    """Run the program, show what it prints as it comes, and fail with its own words."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(_ARGUMENTS)
        if self._task.check_mode:
            return {**result, "skipped": True}
        with tempfile.NamedTemporaryFile("w", suffix=".json", dir=constants.DEFAULT_LOCAL_TMP) as variables:
            json.dump(self._variables(), variables)
            variables.flush()
            argv = [_program(), "build", "--tree", str(_TREE), "--kind", arguments["kind"]]
            argv += ["--config-file", arguments["config_file"], "--extra-vars", f"@{variables.name}"]
            argv += ["--provisioner", arguments["provisioner"]] if arguments["provisioner"] else []
            error = self._follow(argv)
        return {**result, "failed": True, "msg": error} if error else {**result, "changed": True}

    def _variables(self) -> dict[str, Any]:
        """The variables of the playbook's entry, then those of `-e`, which win."""
        entry = self._task.get_play().get_vars()
        given = {**entry, **load_extra_vars(self._loader)}
        return {k: v for k, v in given.items() if k not in _OWN_VARIABLES and not k.startswith("ansible_")}

    def _follow(self, argv: list[str]) -> str:
        """Show the program's lines as they come; what it says from `error:` on is returned."""
        error: list[str] = []
        program = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # Ansible's workers have no terminal: on Ctrl-C they are told to end, and the build must hear of it.
        signal.signal(signal.SIGTERM, lambda *_: program.terminate())
        with program:
            for line in program.stdout or ():
                text = line.decode(errors="replace").rstrip("\n")
                if error or text.startswith("error: "):
                    error.append(text)
                else:
                    self._display.display(text)
        if program.returncode and not error:
            error.append(f"{argv[0]} ended with status {program.returncode}")
        return "\n".join(error).removeprefix("error: ")


def _program() -> str:
    """`imagebuilder` beside the running ansible-playbook, else on PATH."""
    beside = [Path(sys.executable).parent, Path(sys.argv[0]).resolve().parent]
    path = os.pathsep.join([*map(str, beside), os.environ.get("PATH", os.defpath)])
    found = shutil.which("imagebuilder", path=path)
    if not found:
        raise AnsibleActionFail(
            "the program `imagebuilder` is neither beside this ansible-playbook nor on PATH; "
            "use the ansible-playbook of the virtual environment in which it is installed"
        )
    return found
