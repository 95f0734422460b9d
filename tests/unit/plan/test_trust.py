"""Which key signs what a tree makes, and which keys its initrds trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_tree import read_tree
from imagebuilder.errors import SpecError
from imagebuilder.plan.requests import userland_of
from imagebuilder.plan.trust import authorities, signing_key, trusted_keys
from imagebuilder.spec.config import InitrdKeys
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.store.signing import SecretKey

SITE, NEXT, LAST = (SecretKey(bytes(8), bytes([number] * 32)) for number in (1, 2, 3))
FILES = {"keys/site.key": SITE.to_text(), "keys/next.pub": NEXT.public.to_text(), "vars/x.yml": "image:"}


def _tree(root: Path, settings: str) -> TreeSpec:
    return read_tree(root, {**FILES, "group_vars/on_imagebuild": settings})


def test_without_keys_nothing_is_signed_and_nothing_checked(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "kernel_package: x")
    assert (signing_key(tree), trusted_keys(tree)) == (None, ())
    assert userland_of(tree, InitrdKeys()) == ("busybox-static",)


def test_key_that_signs_is_trusted_after_the_others_and_each_once(tmp_path: Path) -> None:
    trusted = f"[keys/next.pub, {LAST.public.line}, {SITE.public.line}]"
    tree = _tree(tmp_path, f"signing_key: keys/site.key\ntrusted_keys: {trusted}")
    assert signing_key(tree) == SITE
    assert trusted_keys(tree) == (NEXT.public.line, LAST.public.line, SITE.public.line)
    assert userland_of(tree, InitrdKeys(tls=True)) == ("busybox-static", "minisign", "wget")
    assert userland_of(tree, InitrdKeys(verity=True)) == ("busybox-static", "minisign", "dmsetup")


def test_roles_do_not_see_who_signs(tmp_path: Path) -> None:
    tree = read_tree(tmp_path, FILES, signing_key="keys/site.key")
    assert "signature_days" not in tree.images[0].variables


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("signing_key: keys/none.key", "keys/none.key cannot be read"),
        ("signing_key: keys/next.pub", "`signing_key: keys/next.pub`: this is no minisign secret key"),
        ("trusted_keys: [keys/site.key]", "this is no minisign public key"),
        ("trusted_keys: [RWnonsense]", "`trusted_keys: [RWnonsense]`: this is no minisign public key"),
    ],
)
def test_what_is_no_key_is_refused_at_the_settings(tmp_path: Path, settings: str, said: str) -> None:
    tree = _tree(tmp_path, settings)
    with pytest.raises(SpecError, match="on_imagebuild") as caught:
        trusted_keys(tree)
    assert said in caught.value.message


CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"


def test_certificates_of_authorities_are_joined(tmp_path: Path) -> None:
    files = {"keys/a.pem": CERTIFICATE, "keys/b.pem": f"b\n{CERTIFICATE}\n\n", **FILES}
    tree = read_tree(tmp_path, {**files, "group_vars/on_imagebuild": "tls_ca: [keys/a.pem, keys/b.pem]"})
    assert authorities(tree) == f"{CERTIFICATE}b\n{CERTIFICATE}"


@pytest.mark.parametrize("name", ["keys/none.pem", "keys/next.pub", "keys/private.pem"])
def test_what_is_no_certificate_is_refused_at_the_settings(tmp_path: Path, name: str) -> None:
    files = {"keys/private.pem": f"{CERTIFICATE}-----BEGIN PRIVATE KEY-----\n", **FILES}
    tree = read_tree(tmp_path, {**files, "group_vars/on_imagebuild": f"tls_ca: [{name}]"})
    with pytest.raises(SpecError, match="on_imagebuild") as caught:
        authorities(tree)
    assert name in caught.value.message
