"""Signatures of what a build shows: each manifest, and the artifact folder's SHA256SUMS.

A manifest's signature is attached to it in the store, and made once: built
again, what this key has signed already is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.artifacts import SUMS, read_sums
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.host import clock
from imagebuilder.host.files import locked, publish_bytes, publish_text
from imagebuilder.plan.model import Plan
from imagebuilder.plan.trust import signing_key
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.store.index import LATEST
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import Layer, Manifest
from imagebuilder.store.referrers import attach, referrers
from imagebuilder.store.signing import SIGNATURE_TYPE, SUFFIX, SecretKey, verify

MANIFEST = ".manifest.json"
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs, and how many days a signature holds (0: for ever)."""

    key: SecretKey
    days: int

    def sign(self, data: bytes, name: str) -> str:
        """The signature file of `data` under a name, made now."""
        now = clock.now()
        fields = {"timestamp": str(now), "file": name}
        if self.days:
            fields["expires"] = str(now + self.days * _DAY)
        return self.key.sign(data, fields)

    def still_good(self, data: bytes, name: str, signature: str) -> bool:
        """Whether this is our signature, under this name, with more than half of its time ahead."""
        try:
            fields = verify(data, signature, self.key.public)
        except ImagebuilderError:
            return False
        left = int(fields["expires"]) - clock.now() if "expires" in fields else 0
        lasting = left > self.days * _DAY // 2 if self.days else "expires" not in fields
        return fields.get("file") == name and lasting


def signer_of(tree: TreeSpec) -> Signer | None:
    """Who signs what a tree makes. Raises SpecError for a key that cannot be had."""
    key = signing_key(tree)
    return Signer(key, tree.settings.signature_days) if key else None


def check_clock(signer: Signer | None, plan: Plan) -> None:
    """Raise UserError when something is to be signed and the clock is behind the packages of a build.

    Its initrds take no signature that is older than they are.
    """
    if signer and clock.now() < plan.epoch:
        raise UserError(
            "this machine's clock is behind the date of its package mirror: nodes would refuse the signatures",
            hint="set the clock, `date` shows it",
        )


def show_signed(manifests: Mapping[str, Blob], layout: Layout, folder: Path, signer: Signer | None) -> None:
    """Show the signatures of the artifact folder's SHA256SUMS and of each manifest, the latter with what it signs.

    `manifests` are by `IMAGE:TAG`. Without a signer nothing is added; and manifests of earlier builds
    go when a file that they name is not as they say any more.
    """
    with locked(folder / ".lock"):
        sums = read_sums(folder)
        for path in folder.glob(f"*{MANIFEST}"):
            if not _fits(path, sums):
                path.with_name(path.name + SUFFIX).unlink(missing_ok=True)
                path.unlink()
        if signer is None:
            return
        for name, blob in manifests.items():
            path = folder / _file(name)
            publish_bytes(layout.read(blob.sha256), path)
            publish_text(_signature(path.name, blob, layout, signer), path.with_name(path.name + SUFFIX))
        data, target = (folder / SUMS).read_bytes(), folder / f"{SUMS}{SUFFIX}"
        old = target.read_text(errors="replace") if target.exists() else ""
        if not signer.still_good(data, SUMS, old):
            publish_text(signer.sign(data, SUMS), target)


def _signature(file: str, manifest: Blob, layout: Layout, signer: Signer) -> str:
    """The good signature that is attached to a manifest, else a new one, attached."""
    data = layout.read(manifest.sha256)
    for referrer in referrers(layout, manifest):
        for document in referrer.files if referrer.artifact_type == SIGNATURE_TYPE else ():
            signature = layout.read(document.blob.sha256).decode("utf-8", "replace")
            if signer.still_good(data, file, signature):
                return signature
    signature = signer.sign(data, file)
    attach(layout, manifest, SIGNATURE_TYPE, [Layer(SIGNATURE_TYPE, file + SUFFIX, layout.put(signature.encode()))])
    return signature


def _fits(manifest: Path, sums: Mapping[str, str]) -> bool:
    try:
        layers = Manifest.from_bytes(manifest.read_bytes()).layers
    except ImagebuilderError:
        return False
    return all(sums.get(layer.title) == layer.blob.sha256 for layer in layers)


def _file(name: str) -> str:
    return name.removesuffix(f":{LATEST}") + MANIFEST
