"""Signatures in minisign's format: our bytes, and what the real tool says to them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.store.signing import PublicKey, SecretKey, verify

KEY = SecretKey(bytes(range(8)), bytes(range(32)))
OTHER = SecretKey(bytes(range(8)), bytes(range(1, 33)))
FIELDS = {"timestamp": "1700000000", "file": "discovery.manifest.json", "expires": "1800000000"}
PUBLIC = """\
untrusted comment: minisign public key 0706050403020100
RWQAAQIDBAUGBwOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4
"""
SECRET = """\
untrusted comment: minisign secret key 0706050403020100
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAECAwQFBgcAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY\
GRobHB0eHwOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""


def _minisign(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["minisign", *arguments], capture_output=True, text=True, check=False)


def test_keys_are_written_as_they_always_were() -> None:
    assert KEY.public.to_text() == PUBLIC
    assert KEY.to_text() == SECRET


def test_keys_are_read_back() -> None:
    assert SecretKey.from_text(SECRET) == KEY
    assert PublicKey.from_text(PUBLIC) == PublicKey.from_text(KEY.public.line) == KEY.public
    assert SecretKey.from_text(SecretKey.new().to_text()) != SecretKey.from_text(SecretKey.new().to_text())


def test_minisign_accepts_our_signature_and_shows_its_fields(tmp_path: Path) -> None:
    file, signature = tmp_path / "file", tmp_path / "file.minisig"
    file.write_bytes(b"content")
    signature.write_text(KEY.sign(b"content", FIELDS))
    done = _minisign("-Q", "-V", "-m", file, "-P", KEY.public.line)
    assert (done.returncode, done.stdout.strip()) == (0, "\t".join(f"{n}:{v}" for n, v in FIELDS.items()))
    file.write_bytes(b"contenu")
    assert _minisign("-V", "-m", file, "-P", KEY.public.line).returncode == 1


def test_we_accept_minisigns_keys_and_its_signature(tmp_path: Path) -> None:
    secret, public, file = (tmp_path / name for name in ("key", "key.pub", "file"))
    assert _minisign("-G", "-W", "-s", secret, "-p", public).returncode == 0
    file.write_bytes(b"content")
    assert _minisign("-S", "-s", secret, "-m", file).returncode == 0
    key = SecretKey.from_text(secret.read_text())
    assert key.public == PublicKey.from_text(public.read_text())
    assert verify(b"content", (tmp_path / "file.minisig").read_text(), key.public)["file"] == "file"


def test_minisign_signs_with_our_key(tmp_path: Path) -> None:
    secret, file = tmp_path / "key", tmp_path / "file"
    secret.write_text(KEY.to_text())
    file.write_bytes(b"content")
    assert _minisign("-S", "-s", secret, "-m", file).returncode == 0
    assert verify(b"content", (tmp_path / "file.minisig").read_text(), KEY.public)["file"] == "file"


@pytest.mark.parametrize("offset", range(0, 330, 7))
def test_no_change_of_a_signature_is_accepted(offset: int) -> None:
    signature = KEY.sign(b"content", FIELDS)
    lines = signature.splitlines(keepends=True)
    position = min(len(lines[0]) + offset, len(signature) - 2)
    letter = chr(ord(signature[position]) ^ 1)
    with pytest.raises(ImagebuilderError):
        verify(b"content", signature[:position] + letter + signature[position + 1 :], KEY.public)


def test_other_data_and_other_keys_are_refused() -> None:
    signature = KEY.sign(b"content", FIELDS)
    assert verify(b"content", signature, KEY.public) == FIELDS
    for data, key in ((b"other", KEY), (b"content", OTHER), (b"content", SecretKey(bytes(8), KEY.seed))):
        with pytest.raises(ImagebuilderError):
            verify(data, signature, key.public)


@pytest.mark.parametrize("text", ["", "untrusted comment: x\n", "a\nb\nc\n", PUBLIC, "x\n" + "A" * 212])
def test_what_is_no_secret_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no minisign secret key"):
        SecretKey.from_text(text)


@pytest.mark.parametrize("text", ["", "RWQ", SECRET, "é"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="no minisign public key"):
        PublicKey.from_text(text)


def test_secret_key_with_a_password_is_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match="has a password"):
        SecretKey.from_text(SECRET.replace("RWQAAEIy", "RWRTY0Iy"))


def test_secret_key_whose_halves_do_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="damaged"):
        SecretKey.from_text(SECRET.replace("GRobHB0eHw", "GRobHB0eIA"))
