"""Signatures beside manifests and sums: made once, made anew in time, gone when they would be wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagebuilder.engine.artifacts import show_artifacts
from imagebuilder.engine.manifests import put_manifests
from imagebuilder.engine.sign import Signer, check_clock, show_signed
from imagebuilder.errors import UserError
from imagebuilder.host import clock
from imagebuilder.plan.model import Artifact, Bootable, Plan
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, INITRD, KERNEL
from imagebuilder.store.referrers import referrers
from imagebuilder.store.signing import SIGNATURE_TYPE, SecretKey, verify

KEY, OTHER = SecretKey(bytes(8), bytes([1] * 32)), SecretKey(bytes(8), bytes([2] * 32))
NAMES = {KERNEL: "vmlinuz", INITRD: "initrd.img", BASE: "base.img"}
MANIFEST, SUMS = "base.manifest.json", "SHA256SUMS"


@pytest.fixture
def time_is(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The clock; what a test appends is the time from then on."""
    times = [1_700_000_000]
    monkeypatch.setattr(clock, "now", lambda: times[-1])
    return times


def _build(folder: Path, signer: Signer | None, *, base: str = "b", manifests: bool = True) -> dict[str, str]:
    """Publish a kernel, an initrd and a base; returns the signatures that are shown."""
    layout = Layout(folder / "store")
    layout.prepare()
    blobs = {
        Artifact(name, "base", name, media_type, name): layout.put((base if media_type == BASE else name).encode())
        for media_type, name in NAMES.items()
    }
    plan = Plan((), tuple(blobs), (Bootable("base", tuple(blobs)),) if manifests else ())
    made = put_manifests(plan, blobs, {}, layout)
    show_artifacts(blobs, layout, folder / "builds", lambda _: None)
    show_signed(made, layout, folder / "builds", signer)
    return {path.name: path.read_text() for path in (folder / "builds").glob("*.minisig")}


def _attached(folder: Path) -> int:
    layout = Layout(folder / "store")
    found = referrers(layout, read_index(layout).names["base:latest"])
    assert all(referrer.artifact_type == SIGNATURE_TYPE for referrer in found)
    return len(found)


def test_manifest_and_sums_are_signed_under_their_names_as_minisign_wants_it(
    tmp_path: Path, time_is: list[int]
) -> None:
    shown = _build(tmp_path, Signer(KEY, 10))
    assert shown.keys() == {f"{MANIFEST}.minisig", f"{SUMS}.minisig"}
    for name in (MANIFEST, SUMS):
        file = tmp_path / "builds" / name
        argv: list[str | Path] = ["minisign", "-Q", "-V", "-P", KEY.public.line, "-m", file]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()
        assert said == f"timestamp:1700000000\tfile:{name}\texpires:1700864000"
    assert _attached(tmp_path) == 1


def test_same_build_again_leaves_the_signatures(tmp_path: Path, time_is: list[int]) -> None:
    first = _build(tmp_path, Signer(KEY, 10))
    time_is.append(time_is[-1] + 4 * 86400)
    assert _build(tmp_path, Signer(KEY, 10)) == first
    assert _attached(tmp_path) == 1


@pytest.mark.parametrize(
    ("signer", "days"), [(Signer(KEY, 10), 6), (Signer(OTHER, 10), 0), (Signer(KEY, 0), 0)], ids=["old", "key", "days"]
)
def test_signature_that_will_not_do_any_more_is_made_anew(
    tmp_path: Path, time_is: list[int], signer: Signer, days: int
) -> None:
    first = _build(tmp_path, Signer(KEY, 10))
    time_is.append(time_is[-1] + days * 86400)
    second = _build(tmp_path, signer)
    assert all(first[name] != second[name] for name in first)
    assert _attached(tmp_path) == 2
    data = (tmp_path / "builds" / MANIFEST).read_bytes()
    assert verify(data, second[f"{MANIFEST}.minisig"], signer.key.public)["timestamp"] == str(time_is[-1])


def test_without_a_key_nothing_is_shown(tmp_path: Path, time_is: list[int]) -> None:
    assert _build(tmp_path, None) == {}
    assert not (tmp_path / "builds" / MANIFEST).exists()


def test_manifest_of_other_files_does_not_stay(tmp_path: Path, time_is: list[int]) -> None:
    _build(tmp_path, Signer(KEY, 0))
    _build(tmp_path, None)
    assert (tmp_path / "builds" / MANIFEST).exists()
    assert _build(tmp_path, None, base="new", manifests=False) == {}
    assert not (tmp_path / "builds" / MANIFEST).exists()


def test_clock_behind_the_packages_is_refused(time_is: list[int]) -> None:
    signer = Signer(KEY, 0)
    check_clock(signer, Plan((), (), epoch=time_is[-1]))
    check_clock(None, Plan((), (), epoch=time_is[-1] + 1))
    with pytest.raises(UserError, match="clock is behind"):
        check_clock(signer, Plan((), (), epoch=time_is[-1] + 1))
