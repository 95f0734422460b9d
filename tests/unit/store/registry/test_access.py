"""Real registries that want a password, and that speak TLS: who gets in, and what those hear who do not."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagebuilder.errors import RegistryError, UserError
from imagebuilder.store.layout import Layout
from imagebuilder.store.registry.client import Repository
from imagebuilder.store.registry.credentials import Credentials, config_file, kept_credentials
from imagebuilder.store.registry.pull import Pull, pull
from imagebuilder.store.registry.push import Push, push
from imagebuilder.store.registry.transport import Site, Transport
from registries import USER, Registry, docker_registry, nothing
from stores import add_image


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Wants a password, and has a certificate of an authority that nobody knows."""
    with docker_registry(tmp_path_factory.mktemp("guarded"), password=True, tls=True) as registry:
        yield registry


def test_who_knows_the_password_and_the_authority_pushes_and_pulls(
    guarded: Registry, layout: Layout, there: Layout
) -> None:
    repository = guarded.repository("images/a", USER)
    manifest = add_image(layout, "extra:latest", "overlay")
    push(Push(layout, repository, nothing), manifest, "latest")
    assert pull(Pull(there, repository, nothing), "latest")[0] == manifest


@pytest.mark.parametrize("credentials", [None, Credentials("builder", "wrong"), Credentials("nobody", "secret")])
def test_who_does_not_know_the_password_is_told_how_to_give_it(
    guarded: Registry, there: Layout, credentials: Credentials | None
) -> None:
    with pytest.raises(RegistryError) as caught:
        pull(Pull(there, guarded.repository("images/a", credentials), nothing), "latest")
    assert "--password-stdin" in (caught.value.hint or "")
    assert guarded.host in caught.value.message
    assert caught.value.exit_code == 1


def _refused(site: Site, there: Layout) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        pull(Pull(there, Repository(Transport(site), "images/a"), nothing), "latest")
    return caught.value


def test_unknown_authority_is_not_trusted(guarded: Registry, there: Layout) -> None:
    error = _refused(Site(guarded.host, credentials=USER), there)
    assert "certificate verify failed" in error.message
    assert "--ca-file" in (error.hint or "")


def test_certificate_is_for_one_host_only(guarded: Registry, there: Layout) -> None:
    error = _refused(Site(f"localhost:{guarded.port}", ca_file=guarded.ca_file, credentials=USER), there)
    assert "localhost" in error.message


def test_registry_without_tls_is_spoken_to_without_it_only_when_asked(registry: Registry, there: Layout) -> None:
    error = _refused(Site(registry.host), there)
    assert "--plain-http" in (error.hint or "")


def test_registry_with_tls_does_not_get_the_password_in_clear(guarded: Registry, there: Layout) -> None:
    error = _refused(Site(guarded.host, plain_http=True, credentials=USER), there)
    assert error.status == 400


def test_registry_that_is_not_there_is_told(there: Layout) -> None:
    error = _refused(Site("127.0.0.1:1", plain_http=True), there)
    assert "127.0.0.1:1 cannot be reached" in error.message
    assert "is it running" in (error.hint or "")


def test_authority_file_that_cannot_be_read_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(UserError, match=name):
            Transport(Site("127.0.0.1:1", ca_file=tmp_path / name))


ENCODED = base64.b64encode(b"builder:secret:with a colon").decode()
KEPT: tuple[tuple[Mapping[str, object], Credentials | None], ...] = (
    ({"auths": {"r.example:5000": {"auth": ENCODED}}}, Credentials("builder", "secret:with a colon")),
    ({"auths": {"https://r.example:5000": {"auth": ENCODED}}}, Credentials("builder", "secret:with a colon")),
    ({"auths": {"r.example": {"auth": ENCODED}}}, None),
    ({"auths": {"r.example:5000": {}}, "credsStore": "secretservice"}, None),
    ({}, None),
)


@pytest.mark.parametrize(("content", "credentials"), KEPT)
def test_passwords_are_read_from_where_docker_keeps_them(
    tmp_path: Path, content: Mapping[str, object], credentials: Credentials | None
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert kept_credentials(tmp_path / "config.json", "r.example:5000") == credentials


@pytest.mark.parametrize("text", ["", "[]", '{"auths": {"r": {"auth": "%"}}}', '{"auths": {"r": {"auth": "/w=="}}}'])
def test_garbled_file_of_passwords_is_the_users_mistake(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is not understood"):
        kept_credentials(tmp_path / "config.json", "r")


def test_file_of_passwords_is_where_docker_looks_for_it(tmp_path: Path) -> None:
    assert config_file({}, Path("/home/user")) == Path("/home/user/.docker/config.json")
    assert config_file({"DOCKER_CONFIG": "/x"}, Path("/home/user")) == Path("/x/config.json")
    assert kept_credentials(tmp_path / "none", "r") is None
