"""`imagebuilder capture --node`: who is asked, and what happens when it goes wrong. (For real: tests/root.)"""

from __future__ import annotations

import io
import signal
import subprocess
import tarfile
import time
from base64 import b64encode
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.cli.main import main
from imagebuilder.engine.node_changes import node_at
from imagebuilder.errors import UserError
from imagebuilder.steps import sidecar
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, EMPTY, OVERLAYS, Layer, Manifest
from layers import layer, write_base, write_overlay
from stores import CREATED


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """The store of a cache with the image `tools`: a base and an overlay."""
    layout = Layout(tmp_path / "cache/store")
    layout.prepare()
    base = write_base(tmp_path / "base", layer({"/etc/gone": "x", "/etc/kept": "x"}))
    (tmp_path / "scratch").mkdir()
    entries = sidecar.add(layer({"/etc/tool": "x"}), sidecar.Known({}, frozenset()), "cpio.gz", 0, tmp_path / "scratch")
    overlay = write_overlay(tmp_path / "overlay", entries)
    parts = (
        Layer(BASE, "base.squashfs.img", layout.put(base.read_bytes())),
        Layer(OVERLAYS["cpio.gz"], "tools.overlay.cpio.gz", layout.put(overlay.read_bytes())),
    )
    layout.put(EMPTY)
    manifest = layout.put(Manifest(parts, CREATED).to_bytes())
    change_index(layout, lambda index: index.moved("tools:stable", manifest))
    layout_parts = "".join(f"{part.blob.sha256} {part.title}\n" for part in parts)
    (tmp_path / "stack").write_text(f"{layout_parts}\n")
    return layout


def _upper(file: str = "./etc/new") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind in ((".", tarfile.DIRTYPE), ("./etc", tarfile.DIRTYPE), ("./etc/gone", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0
            archive.addfile(info)
        info = tarfile.TarInfo(file)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"new"))
    return stream.getvalue() + b"END\n"


def _capture(folder: Path, says: bytes, end: str = "exit 0", *words: str) -> int:
    """Capture from a node that says this; `end` is how ssh ends."""
    (folder / "said").write_bytes(says)
    (folder / "ssh").write_text(f"cat {folder}/said; {end}\n")
    out = folder / "out"
    out.mkdir(exist_ok=True)
    argv = ["capture", "mine", "--node", "ssh://r1n7", "--ssh", f"sh {folder}/ssh", "--folder", str(out)]
    return main([*argv, "--tree", str(out), "--cache", str(folder / "cache"), *words])


def _stack(folder: Path) -> bytes:
    return (folder / "stack").read_bytes()


def test_changes_of_a_node_become_an_overlay_that_knows_what_it_lies_on(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _capture(tmp_path, _stack(tmp_path) + b"\n" + _upper()) == 0
    assert capsys.readouterr().err.splitlines()[:4] == [
        "r1n7 booted `tools`: base.squashfs.img, tools.overlay.cpio.gz",
        "2 paths changed",
        "  - /etc/gone",
        "  + /etc/new",
    ]
    assert "base: tools" in (tmp_path / "out/vars/mine.yml").read_text()
    overlay = str(tmp_path / "out/mine.overlay.cpio.gz")
    assert main(["check", overlay, "--base", "tools:stable", "--store", str(layout.root)]) == 0
    changed = write_base(tmp_path / "other", layer({"/etc/gone": "changed", "/etc/new": "taken"}))
    assert main(["check", overlay, "--base", str(changed), "--store", str(layout.root)]) == 1
    assert "/etc/gone" in capsys.readouterr().out


def test_socket_hides_what_it_replaced(layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sockets = b64encode(b"./etc/kept\0./etc/other\0") + b"\n"
    assert _capture(tmp_path, _stack(tmp_path) + sockets + _upper()) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "  - /etc/kept" in lines
    assert not [line for line in lines if "other" in line]


# What is said: a slice of all that is to be said, or something else, or with something in front.
FAILURES: tuple[tuple[str, bytes | int, str, int, str], ...] = (
    ("no image of ours", b"", "echo refused: it has not booted an image of ours >&2; exit 1", 2, "has not booted an"),
    (
        "unreachable",
        b"",
        "echo ssh: no route >&2; exit 255",
        1,
        "cannot be reached by ssh, or went away meanwhile: ssh: no",
    ),
    ("restarted meanwhile", -9000, "echo Timeout >&2; exit 255", 1, "went away meanwhile: Timeout"),
    ("cut", -9500, "exit 0", 1, "what r1n7 sent cannot be read: its end is missing"),
    ("cut before tar", 200, "exit 0", 1, "what r1n7 sent cannot be read"),
    ("a file changed", 1 << 20, "echo tar: ./x: file changed as we read it >&2; exit 1", 1, "./x: file changed as we"),
    ("a shell that greets", b"Welcome\n", "exit 0", 1, "it begins with `Welcome`"),
    ("nothing", b"", "exit 0", 1, "nothing came"),
    ("nothing but the end", b"\nEND\n", "exit 0", 1, "nothing came"),
    ("unknown base", b"0" * 64 + b" old.img\n\n", "exit 0", 2, "has just the layers that r1n7 booted: old.img"),
    ("unsaid base", b"- by-hand.img\n\n", "exit 0", 2, "booted by-hand.img from a server that did not say its"),
)


@pytest.mark.parametrize(("name", "says", "end", "status", "message"), FAILURES, ids=[case[0] for case in FAILURES])
def test_failure_is_told_and_nothing_is_written(
    layout: Layout,
    tmp_path: Path,
    name: str,
    says: bytes | int,
    end: str,
    status: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = _stack(tmp_path) + b"\n" + _upper()
    assert _capture(tmp_path, whole[:says] if isinstance(says, int) else says, end) == status
    assert message in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in (tmp_path / "cache/shells").iterdir()] == ["lock"]


def test_name_that_leads_out_is_refused(layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _capture(tmp_path, _stack(tmp_path) + b"\n" + _upper("../new")) == 1
    assert "the name `../new` leads out of the root" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_node_that_booted_something_else_is_refused(
    layout: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write_base(tmp_path / "other", layer({"/x": "x"}))
    assert _capture(tmp_path, _stack(tmp_path) + b"\n" + _upper(), "exit 0", "--on", str(base)) == 2
    assert "r1n7 did not boot" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_leaves_nothing(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "ssh").write_text(f"cat {tmp_path}/stack; echo; touch {tmp_path}/there; exec sleep 60\n")
    argv: list[str | Path] = [PROGRAM, "capture", "mine", "--node", "ssh://r1n7", "--ssh", f"sh {tmp_path}/ssh"]
    argv += ["--folder", tmp_path / "out", "--tree", tmp_path / "out", "--cache", tmp_path / "cache"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as capture:
        while not (tmp_path / "there").exists():
            time.sleep(0.05)
        capture.send_signal(signal.SIGINT)
        _, said = capture.communicate(timeout=30)
    assert (capture.returncode, said.splitlines()[-1]) == (130, "error: interrupted; nothing is left behind")
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in (tmp_path / "cache/shells").iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("url", "destination", "port"),
    [
        ("ssh://r1n7", "root@r1n7", None),
        ("ssh://me@10.0.0.7:2222/", "me@10.0.0.7", "2222"),
        ("ssh://[fe80::1%25eth0]", "root@fe80::1%25eth0", None),
    ],
)
def test_node_is_asked_by_ssh(url: str, destination: str, port: str | None) -> None:
    argv = node_at(url, "ssh -i 'a key'", {}).command(["/var/log"]).argv
    assert argv[:3] == ("ssh", "-i", "a key")
    assert argv[-2] == destination
    assert (argv[argv.index("-p") + 1] if "-p" in argv else None) == port
    assert argv[-1].startswith("sh -c " if destination.startswith("root@") else "sudo -n sh -c ")
    assert argv[-1].endswith(" sh ./var/log")


@pytest.mark.parametrize(
    "url", ["r1n7", "http://r1n7", "ssh://", "ssh://r1n7/x", "ssh://-oX@r1n7", "ssh://a:b@r1n7", "ssh://r1n7:x"]
)
def test_what_is_no_address_of_a_node_is_refused(url: str) -> None:
    with pytest.raises(UserError):
        node_at(url, "ssh", {})


def test_upperdir_without_an_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", "mine", "--upper", str(tmp_path)]) == 2
    assert "`--on IMAGE` says it" in capsys.readouterr().err
