"""Ansible roles on a root without Python: every module that images need works, and nothing stays behind."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext

from imagebuilder import digest
from imagebuilder.ansible.connection.chroot import Connection
from imagebuilder.errors import ImagebuilderError, SpecError
from imagebuilder.events import Event, Progress
from imagebuilder.host.chroot import INSIDE
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.machine import Chroot
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings
from imagebuilder.steps import origins
from imagebuilder.steps.ansible import AnsibleRole
from imagebuilder.steps.interpreter import BUNDLE_PACKAGES, MOUNT_POINT, PythonBundle

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(600)]

TREE = Path(__file__).parent / "ansible_tree"
CARGO = b"cargo\n"


@pytest.fixture(scope="session")
def apt(package_cache: Path) -> Iterator[Apt]:
    apt = Apt(sources_for(Settings(), host_targets(package_cache), host_date_options()), "amd64", package_cache)
    with apt.indexes():
        yield apt


class Build:
    """A machine, what it reported, and the Python that it lends."""

    def __init__(self, folder: Path, apt: Apt, bundle: Path) -> None:
        lines = "".join(f"{line}\n" for line in apt.sources.lines)
        files = {"apt.conf": apt.configuration(folder=f"{INSIDE}/apt").encode(), "sources.list": lines.encode()}
        self.events: list[Event] = []
        self.folder = folder
        self.machine = LocalMachine("x", folder / "scratch", AptFiles(apt.lists, apt.archives, files), {}, self._report)
        self._bundle = bundle

    def _report(self, event: Event) -> None:
        self.events.append(event)

    @property
    def progress(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Progress)]

    @contextmanager
    def root(self, lower: Path) -> Iterator[Chroot]:
        """A root over `lower`; what changes is in `self.folder / "upper"`."""
        upper = self.folder / "upper"
        upper.mkdir()
        with self.machine.overlay([lower], upper) as merged, self.machine.chroot(merged) as root:
            root.bind(self._bundle, MOUNT_POINT)
            yield root

    def run(self, lower: Path, role: str, variables: Mapping[str, Any] | None = None, tree: Path = TREE) -> Path:
        """Run a role on `lower`; returns the folder with what it changed."""
        with self.root(lower) as root:
            AnsibleRole.of(tree, role, variables or {}).run(self.machine, root)
        return self.folder / "upper"


@pytest.fixture(scope="session")
def bundle(apt: Apt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("python")
    debs = apt.simulate(BUNDLE_PACKAGES)
    apt.download(debs)
    output = folder / "output"
    output.mkdir()
    PythonBundle(debs).run(Build(folder, apt, output).machine, {}, output)
    return output


@pytest.fixture
def build(tmp_path: Path, apt: Apt, bundle: Path) -> Build:
    return Build(tmp_path, apt, bundle)


@pytest.fixture(scope="session")
def busybox_tree(apt: Apt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an initrd is: busybox and its libraries."""
    tree = tmp_path_factory.mktemp("busybox")
    debs = apt.simulate(["busybox"])
    apt.download(debs)
    for deb in debs:
        subprocess.run(["dpkg-deb", "--extract", apt.archives / deb.file_name, tree], check=True)
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "tmp"):
        (tree / name).mkdir(exist_ok=True)
    subprocess.run(["chroot", tree, "/bin/busybox", "--install", "-s", "/bin"], check=True)
    return tree


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A web server with `archive.tar`."""
    folder = tmp_path_factory.mktemp("web")
    with tarfile.open(folder / "archive.tar", "w") as archive:
        entry = tarfile.TarInfo("cargo")
        entry.size = len(CARGO)
        archive.addfile(entry, io.BytesIO(CARGO))
    with HTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/archive.tar"
        server.shutdown()


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, apt: Apt, bundle: Path, base_tree: Path, url: str
) -> tuple[Build, Path]:
    """The role with every module, run once; what it changed."""
    build = Build(tmp_path_factory.mktemp("everything"), apt, bundle)
    return build, build.run(base_tree, "roles/overlay/everything", {"url": url, "from_config": "{{ greeting }} again"})


def _files(folder: Path) -> dict[str, Path]:
    """Every path below a folder, by its name there."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*")}


def test_a_role_uses_every_module_that_images_need(everything: tuple[Build, Path]) -> None:
    _, changed = everything
    assert (changed / "usr/bin/lsscsi").exists()
    assert "http://127.0.0.1/debian" in (changed / "etc/apt/sources.list.d/extra.list").read_text()
    assert (changed / "etc/plain").read_text() == "from the role\nadded\n"
    assert (changed / "etc/plain").stat().st_mode & 0o7777 == 0o640
    assert (changed / "etc/plain").stat().st_gid == 60
    assert (changed / "etc/tree").read_text() == "from the tree\n"
    assert (changed / "etc/rendered").read_text() == "a default, a default again, bookworm\n"
    assert (changed / "opt/fetched").stat().st_mode & 0o7777 == 0o777
    assert os.readlink(changed / "opt/link") == "/etc/plain"
    assert "crew:x:4242:" in (changed / "etc/group").read_text()
    assert "sailor:x:4242:4242::/home/sailor:/bin/sh" in (changed / "etc/passwd").read_text()
    assert (changed / "etc/systemd/system/multi-user.target.wants/lookout.service").is_symlink()
    assert os.readlink(changed / "etc/systemd/system/rc-local.service") == "/dev/null"
    assert (changed / "opt/uploads/cargo").read_bytes() == CARGO
    assert (changed / "etc/from-dependency").exists()
    assert (changed / "etc/from-handler").exists()


def test_tasks_of_another_user_run_as_that_user_without_sudo(everything: tuple[Build, Path], base_tree: Path) -> None:
    _, changed = everything
    assert not (base_tree / "usr/bin/sudo").exists()
    for name in ("opt/uploads/by-sailor", "home/sailor/copied"):
        assert (changed / name).stat().st_uid == 4242
    assert (changed / "etc/shelled").read_text() == "0 no python\n"


def test_tasks_are_told_as_they_come(everything: tuple[Build, Path]) -> None:
    build, _ = everything
    assert build.progress[:3] == [
        "TASK [Gathering Facts]",
        "TASK [shared : Run as a dependency]",
        "TASK [everything : Install a package]",
    ]


def test_what_a_task_wrote_last_is_known_by_that_task(everything: tuple[Build, Path]) -> None:
    build, changed = everything
    origins.write(changed, build.machine.beginnings())
    for path, task in (("/etc/rendered", "rendered"), ("/etc/from-dependency", "from-dependency")):
        part = origins.find(changed, path) or ""
        found = re.fullmatch(r"ansible: .* : .* \((.*):(\d+)\)", part)
        assert found, part
        lines = Path(found[1]).read_text().splitlines()[int(found[2]) - 1 :]
        assert task in "\n".join(lines[:4])


def test_nothing_of_the_build_stays_in_the_image(everything: tuple[Build, Path]) -> None:
    _, changed = everything
    names = set(_files(changed))
    strange = [
        n for n in names if any(word in n for word in ("ansible", "imagebuilder", "pycache", "python", ".gnupg"))
    ]
    assert strange == []
    for folder in ("run", "tmp", "root", "dev", "proc", "sys", "var/tmp", "var/lib/apt/lists", "var/cache/apt"):
        assert [n for n in names if n.startswith(f"{folder}/")] == []
    unpacked = ("usr/", "var/lib/dpkg", "var/lib/apt", "var/log", "var/cache/debconf", "etc/alternatives")
    accounts = {f"etc/{name}{minus}" for name in ("passwd", "shadow", "group", "gshadow") for minus in ("", "-")}
    written = {n for n, path in _files(changed).items() if not path.is_dir() and not n.startswith(unpacked)} - accounts
    assert written == {
        "etc/.pwd.lock",
        "etc/apt/sources.list.d/extra.list",
        "etc/from-dependency",
        "etc/from-handler",
        "etc/plain",
        "etc/rendered",
        "etc/shelled",
        "etc/systemd/system/rc-local.service",
        "etc/systemd/system/lookout.service",
        "etc/systemd/system/multi-user.target.wants/lookout.service",
        "etc/tree",
        "home/sailor/.bash_logout",
        "home/sailor/.bashrc",
        "home/sailor/.profile",
        "home/sailor/copied",
        "opt/archive.tar",
        "opt/link",
        "opt/uploads/by-sailor",
        "opt/uploads/cargo",
    }


def test_the_users_own_ansible_is_neither_read_nor_written(
    build: Build, base_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_STDOUT_CALLBACK", "no_such_callback")
    home = Path("/root/.ansible")
    before = _files(home).keys()
    build.run(base_tree, "roles/harmless")
    assert _files(home).keys() == before


def test_a_role_changes_an_initrd(build: Build, busybox_tree: Path) -> None:
    changed = build.run(busybox_tree, "roles/initrd")
    assert (changed / "etc/hook").read_text() == "from the role\n"
    assert (changed / "etc/hook").stat().st_mode & 0o777 == 0o755
    assert (changed / "etc/modules").read_text() == "squashfs\n"
    assert {n for n, path in _files(changed).items() if not path.is_dir()} == {"etc/hook", "etc/modules"}


FAILURES: tuple[tuple[str, type[ImagebuilderError], str, str, str], ...] = (
    (
        "shell",
        ImagebuilderError,
        "tasks/main.yml:1",
        "the task `shell : Say and fail` failed: `echo out; echo err >&2",
        "out\nerr",
    ),
    ("loop", ImagebuilderError, "tasks/main.yml:1", "failed at the item `b`: `test b = a` ended with status 1", ""),
    ("package", ImagebuilderError, "tasks/main.yml:1", "No package matching 'no-such-package' is available", ""),
    ("no_file", ImagebuilderError, "tasks/main.yml:1", "Could not find or access 'gone.txt'", ""),
    ("undefined", SpecError, "tasks/main.yml:4", "the task `undefined : Copy` needs `nowhere`, which is undefined", ""),
    ("undefined_template", SpecError, "templates/motd.j2:2", "needs `nowhere`, which is undefined", ""),
    ("undefined_value", SpecError, "tasks/main.yml:1", "a variable that the task `undefined_value : Use it` uses", ""),
    ("collection", SpecError, "tasks/main.yml:1", "there is no module `mount` in ansible-core", ""),
    ("yaml", SpecError, "tasks/main.yml:2", "YAML parsing failed", ""),
)


@pytest.mark.parametrize(("role", "kind", "place", "words", "output"), FAILURES, ids=[case[0] for case in FAILURES])
def test_an_error_names_the_task_its_place_and_the_reason(
    build: Build, base_tree: Path, role: str, kind: type[ImagebuilderError], place: str, words: str, output: str
) -> None:
    with pytest.raises(ImagebuilderError) as caught:
        build.run(base_tree, f"roles/fails/{role}", {"used": "{{ nowhere }}"})
    error = caught.value
    assert type(error) is kind
    assert error.message.startswith(f"{TREE}/roles/fails/{role}/{place}: ")
    assert words in error.message
    assert error.detail.strip() == output
    assert str(build.folder) not in error.message


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[[Chroot], Connection]:
    monkeypatch.setenv("IMAGEBUILDER_CHROOT_ENVIRONMENT", "{}")

    def connect(root: Chroot) -> Connection:
        context = PlayContext()
        context.remote_addr = str(root.path)
        return Connection(context)

    return connect


@pytest.mark.parametrize("prefix", ["", "../" * 20], ids=["absolute", "relative"])
def test_a_link_in_the_image_does_not_lead_out_of_it(
    build: Build, base_tree: Path, tmp_path: Path, connection: Callable[[Chroot], Connection], prefix: str
) -> None:
    """What a link names is looked for below the root, in both directions."""
    outside = tmp_path / "outside"
    outside.write_text("of the host")
    (tmp_path / "new").write_text("from the role")
    with build.root(base_tree) as root:
        inside = root.path / str(outside).lstrip("/")
        inside.parent.mkdir(parents=True)
        (root.path / "etc/link").symlink_to(f"{prefix}{str(outside).lstrip('/') if prefix else outside}")
        connected = connection(root)
        connected.put_file(str(tmp_path / "new"), "/etc/link")
        assert outside.read_text() == "of the host"
        assert inside.read_text() == "from the role"
        connected.fetch_file("/etc/link", str(tmp_path / "fetched"))
    assert (tmp_path / "fetched").read_text() == "from the role"


def test_a_file_that_cannot_be_copied_is_an_error(
    build: Build, base_tree: Path, tmp_path: Path, connection: Callable[[Chroot], Connection]
) -> None:
    with build.root(base_tree) as root:
        connected = connection(root)
        with pytest.raises(AnsibleError, match="cannot write /no/folder in the image"):
            connected.put_file("/etc/hostname", "/no/folder")
        with pytest.raises(AnsibleError, match="cannot read /no/file in the image"):
            connected.fetch_file("/no/file", str(tmp_path / "fetched"))


def test_equal_packages_make_an_equal_interpreter(apt: Apt, bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    PythonBundle(apt.simulate(BUNDLE_PACKAGES)).run(Build(tmp_path, apt, again).machine, {}, again)
    assert digest.of_tree(again) == digest.of_tree(bundle)
