"""Places in registries, as users write them."""

from __future__ import annotations

import pytest

from imagebuilder.errors import UserError
from imagebuilder.store.registry.reference import Reference

DIGEST = f"sha256:{'0a' * 32}"
GOOD = (
    ("r.example.net/images/discovery", "r.example.net", "images/discovery", "", ""),
    ("r.example.net/a:1.0_X-y", "r.example.net", "a", "1.0_X-y", ""),
    ("localhost/a", "localhost", "a", "", ""),
    ("localhost:5000/a", "localhost:5000", "a", "", ""),
    ("registry:5000/a/b-c__d.e", "registry:5000", "a/b-c__d.e", "", ""),
    (f"10.0.0.5:5000/a@{DIGEST}", "10.0.0.5:5000", "a", "", DIGEST),
    (f"[fe80::1]:5000/a:b@{DIGEST}", "[fe80::1]:5000", "a", "b", DIGEST),
)


@pytest.mark.parametrize(("text", "host", "repository", "tag", "digest"), GOOD)
def test_reference_is_read_and_written(text: str, host: str, repository: str, tag: str, digest: str) -> None:
    reference = Reference.parse(text)
    assert reference == Reference(host, repository, tag, digest)
    assert str(reference) == text
    assert reference.image == repository.rpartition("/")[2]


BAD = (
    "",
    "discovery",
    "images/discovery",
    "r.example.net",
    "r.example.net/",
    "r.example.net/Images",
    "r.example.net/a//b",
    "r.example.net/a:",
    "r.example.net/a:b/c",
    "r.example.net/a@sha256:00",
    "https://r.example.net/a",
    "user@r.example.net/a",
    "r.example.net/a b",
    "r.example.net/../a",
    "r.example.net/a\n",
)


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_reference_is_the_users_mistake(text: str) -> None:
    with pytest.raises(UserError, match="names nothing in a registry") as caught:
        Reference.parse(text)
    assert "HOST[:PORT]/REPOSITORY" in (caught.value.hint or "")
