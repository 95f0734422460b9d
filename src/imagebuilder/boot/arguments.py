"""The kernel command line of a node: by a manifest where there is one, else as RackHD's boot profile writes it."""

from __future__ import annotations

from dataclasses import dataclass

from imagebuilder.boot.artifacts import Artifacts


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a node is told: the server (`HOST:PORT`), the card it boots from, and whatever the user adds."""

    server: str
    mac: str
    more: str = ""

    def command_line(self, artifacts: Artifacts) -> str:
        """The arguments that name layers as paths on the server; the console gets notices, no chatter."""
        words = [
            f"API_CB={self.server}",
            *_layers(artifacts),
            f"BOOTIF=01-{self.mac.replace(':', '-')}",
            "console=ttyS0,115200n8",
            # The lines of our initrd are notices (level 5): shown, while drivers' news (6) are not.
            "loglevel=6",
            self.more,
        ]
        return " ".join(word for word in words if word)


def _layers(artifacts: Artifacts) -> list[str]:
    if artifacts.manifest:
        return [f"MANIFEST=/{artifacts.manifest}"]
    overlays = ",".join(f"/{name}" for name in artifacts.overlays)
    return [f"BASEFS=/{artifacts.base}", *([f"OVERLAYFS={overlays}"] if overlays else [])]
