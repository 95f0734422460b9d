"""`imagebuilder push`, `pull` and `store verify --repair` against a real registry, as a user types them."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from registries import Registry, docker_registry
from stores import add_image, damage


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Wants a password."""
    with docker_registry(tmp_path_factory.mktemp("registry"), password=True) as registry:
        yield registry


@pytest.fixture
def layout(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A store with an image, of a user who has logged in."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "YnVpbGRlcjpzZWNyZXQ="}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    layout = Layout(tmp_path / "here/store")
    layout.prepare()
    add_image(layout, "extra:latest", "overlay")
    return layout


def test_image_goes_from_one_store_to_another_and_into_a_folder(
    registry: Registry, layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_index(layout).names["extra:latest"]
    reference = f"{registry.host}/images/extra"
    assert main(["push", "extra", reference, "--plain-http", "--cache", str(tmp_path / "here")]) == 0
    out, err = capsys.readouterr()
    assert out == f"{reference}:latest@{manifest.digest}\n"
    assert "25 B sent" in err

    there = ["--plain-http", "--cache", str(tmp_path / "there"), "--builds", str(tmp_path / "builds")]
    assert main(["pull", f"{reference}@{manifest.digest}", *there]) == 0
    assert capsys.readouterr().out == f"extra:latest {manifest.digest}\n"
    assert main(["pull", reference, "mine:canary", "--json", *there]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"name": "mine:canary", "digest": manifest.digest}
    assert set(read_index(Layout(tmp_path / "there/store")).names) == {"extra:latest", "mine:canary"}
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path / "builds",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "base.squashfs.img: OK",
        "extra.overlay.cpio.gz: OK",
        "initrd.img-6.1: OK",
        "vmlinuz-6.1: OK",
    ]


def test_tag_of_the_name_is_the_tag_in_the_registry(
    registry: Registry, layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--plain-http", "--cache", str(tmp_path / "here"), "--json"]
    add_image(layout, "extra:stable", "stable")
    for name, reference in (("extra:stable", "images/a"), ("extra:stable", "images/a:other")):
        assert main(["push", name, f"{registry.host}/{reference}", *here]) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    pushed = [result["reference"] for result in results if "reference" in result]
    assert pushed == [f"{registry.host}/images/a:stable", f"{registry.host}/images/a:other"]


def test_password_comes_from_standard_input(
    registry: Registry, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "nowhere"))
    argv = ["push", "extra", f"{registry.host}/images/b", "--plain-http", "--cache", str(tmp_path / "here")]
    assert main(argv) == 1
    for password, status in (("secret\n", 0), ("wrong\n", 1)):
        monkeypatch.setattr("sys.stdin", io.StringIO(password))
        assert main([*argv, "--username", "builder", "--password-stdin"]) == status


def test_damaged_store_is_mended_from_the_registry(
    registry: Registry, layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--plain-http", "--cache", str(tmp_path / "here")]
    reference = f"{registry.host}/images/c"
    assert main(["push", "extra", reference, *here]) == 0
    overlay = layout.put(b"overlay")
    for blob in (overlay, read_index(layout).names["extra:latest"]):
        damage(layout, blob)
    capsys.readouterr()
    assert main(["store", "verify", "--repair", reference, *here]) == 0
    assert [line.split()[::2][:2] for line in capsys.readouterr().out.splitlines()[1:]] == [["damaged", "fetched"]] * 2
    assert main(["store", "verify", "--cache", str(tmp_path / "here")]) == 0
    damage(layout, overlay)
    assert main(["store", "verify", "--repair", f"{registry.host}/unknown", *here]) == 1


WRONG = (
    (["push", "extra", "images/extra"], "names nothing in a registry"),
    (["push", "nothing", "HOST/images/extra"], "has no `nothing:latest`"),
    (["push", "extra", f"HOST/images/extra@sha256:{'0' * 64}"], "has a digest"),
    (["pull", "extra"], "names nothing in a registry"),
    (["pull", "HOST/images/extra", "no/name"], "is no name"),
    (["pull", "HOST/images/extra", "--username", "builder"], "go together"),
    (["pull", "HOST/images/extra", "--ca-file", "/nowhere"], "/nowhere"),
    (["store", "verify", "--repair", "extra"], "names nothing in a registry"),
)


@pytest.mark.parametrize(("argv", "message"), WRONG)
def test_wrong_use_is_the_users_mistake(
    registry: Registry, layout: Layout, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    given = [arg.replace("HOST", registry.host) for arg in argv]
    assert main([*given, "--cache", str(layout.root.parent)]) == 2
    assert message in capsys.readouterr().err
