"""Damaged files: of many with one bit flipped, or cut anywhere, a node accepts none."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hostile import Trouble, hostile
from initrd_jail import BASE_NAME, OVERLAY_NAME, Image, Jail

pytestmark = pytest.mark.root

MANIFEST = "/discovery.manifest.json"
_RANDOM = random.Random(2016)

# What is refused is said, and the next one tried.
_EACH = """
main() { :; }
mount_kernel_filesystems; load_network_modules; start_network
parse_arguments "$(cat /proc/cmdline)"
DIGEST_TRIES=1 SIGNED_TRIES=1 ROUNDS=1
fail() { echo "refused $1"; exit 1; }
phase() { :; }
trap - EXIT
[ "$WHAT" = manifest ] || find_layers
for number in $(seq 200); do
    (
        layer_count=0
        if [ "$WHAT" = manifest ]; then layers_of_manifest; else fetch_layer "$WHAT"; fi
    ) && echo accepted
    rm -f /layers/*.file
done
"""


def _one_bit(content: bytes) -> bytes:
    position, bit = _RANDOM.randrange(len(content)), _RANDOM.randrange(8)
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


def _cut_somewhere(content: bytes) -> bytes:
    return content[: _RANDOM.randrange(len(content))]


@pytest.mark.parametrize("damage", [_one_bit, _cut_somewhere])
@pytest.mark.parametrize(
    ("path", "what"),
    [(f"/{BASE_NAME}", "0"), (f"/{OVERLAY_NAME}", "1"), (MANIFEST, "manifest"), (f"{MANIFEST}.minisig", "manifest")],
)
def test_not_one_of_two_hundred_damaged_files_is_accepted(
    initrd_jail: Jail, initrd_image: Image, path: str, what: str, damage: Callable[[bytes], bytes]
) -> None:
    with hostile(initrd_image.files, {path: Trouble(body=damage)}) as server:
        ended = initrd_jail.run(f"WHAT={what}{_EACH}", f"API_CB={server.address} MANIFEST={MANIFEST}")
    said = [line.split()[0] for line in ended.lines if line.startswith(("refused", "accepted"))]
    assert said == ["refused"] * 200, ended.lines[-5:]


def test_the_same_two_hundred_undamaged_are_accepted(initrd_jail: Jail, initrd_image: Image) -> None:
    with hostile(initrd_image.files) as server:
        ended = initrd_jail.run(f"WHAT=manifest{_EACH}", f"API_CB={server.address} MANIFEST={MANIFEST}")
    assert list(ended.lines).count("accepted") == 200
