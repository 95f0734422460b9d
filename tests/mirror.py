"""A Debian mirror of our own on loopback, signed with a key of our own, and a machine that trusts that key."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from builds import Site, write_tree

KERNEL = "6.1.0-1-amd64"
DATE = "Mon, 03 Jun 2024 00:00:00 +0000"
"""Of the Release files: long before the packages of Debian's that the mirror offers."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = ("bookworm", "bookworm-updates", "bookworm-security")
COMPONENTS = ("main", "non-free-firmware")
_PLAYBOOK = """\
- import_playbook: common/basefs_wrapper.yml
  vars: {config_file: vars/base.yml}
- import_playbook: common/overlay_wrapper.yml
  vars: {config_file: vars/extra.yml}
"""
_EXTRA = """\
image:
  packages: [sandwich]
  files: [{dest: /etc/marker, content: "{{ marker | default('none') }}"}]
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A signing key: gpg's home and the public half as a keyring for apt."""

    home: Path
    keyring: Path

    @classmethod
    @contextmanager
    def made(cls, home: Path) -> Iterator[Key]:
        """Make a key; its agent ends with the block."""
        home.mkdir(mode=0o700)
        key = cls(home, home / "public.gpg")
        key.gpg("--passphrase", "", "--quick-generate-key", "tests@example.org", "ed25519", "sign")
        key.keyring.write_bytes(key.gpg("--export"))
        yield key
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)

    def gpg(self, *argv: str, data: bytes = b"") -> bytes:
        """Run gpg with this key only."""
        whole = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *argv]
        return subprocess.run(whole, input=data, capture_output=True, check=True).stdout

    @property
    def trusted(self) -> tuple[str, ...]:
        """To be put in front of a program: it sees this key where Debian's should be."""
        script = f'mount --bind "$0" {KEYRING} && exec "$@"'
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(self.keyring))


@dataclass(frozen=True, slots=True)
class Package:
    """A package as a mirror offers it: its control fields, and the file."""

    fields: str
    file: Path

    def stanza(self) -> str:
        """The package's part of an index."""
        kept = [line for line in self.fields.splitlines() if line.split(":")[0] not in ("Filename", "Size", "SHA256")]
        content = self.file.read_bytes()
        where = [f"Filename: pool/{self.file.name}", f"Size: {len(content)}"]
        return "\n".join([*kept, *where, f"SHA256: {hashlib.sha256(content).hexdigest()}", "", ""])


def make_package(
    folder: Path, name: str, version: str, files: Mapping[str, bytes] | None = None, **fields: str
) -> Package:
    """A package of our own, with `files` by their path and more control `fields`."""
    root = folder / f"{name}_{version}"
    fields = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Maintainer": "a test <t@example.org>",
    } | fields
    control = "".join(f"{key}: {value}\n" for key, value in {**fields, "Description": "made by a test"}.items())
    for path, content in {**(files or {}), "DEBIAN/control": control.encode()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    file = folder / f"{name}_{version}_amd64.deb"
    argv = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(file)]
    subprocess.run(argv, check=True, capture_output=True)
    return Package(control, file)


def write_suite(archive: Path, suite: str, packages: Iterable[Package], **fields: str) -> str:
    """Write a suite's indexes and link its packages; returns the text of its Release file, to be signed."""
    (archive / "pool").mkdir(parents=True, exist_ok=True)
    packages = tuple(packages)
    for package in packages:
        link = archive / "pool" / package.file.name
        if not link.exists():
            link.symlink_to(package.file)
    indexes = dict.fromkeys((f"{name}/binary-amd64/Packages" for name in COMPONENTS), "")
    indexes["main/binary-amd64/Packages"] = "".join(package.stanza() for package in packages)
    listing = []
    for name, text in indexes.items():
        path = archive / "dists" / suite / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        listing.append(f" {hashlib.sha256(text.encode()).hexdigest()} {len(text.encode())} {name}")
    head = {"Suite": suite, "Codename": suite, "Date": DATE, **fields}
    head |= {"Architectures": "amd64", "Components": " ".join(COMPONENTS)}
    return "".join(f"{key}: {value}\n" for key, value in head.items()) + "SHA256:\n" + "\n".join(listing) + "\n"


def sign(archive: Path, suite: str, release: str, key: Key) -> None:
    """Write the signed Release file."""
    (archive / "dists" / suite / "InRelease").write_bytes(key.gpg("--clearsign", data=release.encode()))


@dataclass(frozen=True, slots=True)
class Server:
    """A web server on loopback and the paths that were asked of it."""

    address: str
    asked: list[str] = field(default_factory=list)

    def packages(self) -> set[str]:
        """The package files that were asked for."""
        return {os.path.basename(path) for path in self.asked if path.endswith(".deb")}


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], *rest: Any, **options: Any) -> None:
        self._asked = asked
        super().__init__(*rest, **options)

    def log_message(self, format: str, *values: object) -> None:
        self._asked.append(self.path)


@contextmanager
def served(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[Server]:
    """Serve a folder; `address` is HOST:PORT, or HOST alone for port 80."""
    asked: list[str] = []
    with ThreadingHTTPServer((host, port), partial(_Handler, asked, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Server(host if port == 80 else f"{host}:{server.server_port}", asked)
        server.shutdown()


def write_mirror(folder: Path, packages: Sequence[Package], key: Key, **fields: str) -> None:
    """A whole mirror of bookworm as `apt_server` wants it, with all packages in the suite itself."""
    for suite in SUITES:
        archive = folder / ("debian-security" if suite.endswith("security") else "debian")
        release = write_suite(archive, suite, packages if suite == "bookworm" else (), **fields)
        sign(archive, suite, release, key)


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror that runs, the folder that it serves, and the key that it is signed with."""

    server: Server
    folder: Path
    key: Key

    @contextmanager
    def changed(self, folder: Path) -> Iterator[Mirror]:
        """A copy in `folder`, on a port of its own, to be changed."""
        shutil.copytree(self.folder, folder, symlinks=True)
        with served(folder) as server:
            yield Mirror(server, folder, self.key)

    def site(self, folder: Path, cache: Path, settings: str = "") -> Site:
        """A tree with a minimal base and an overlay, to be built from this mirror."""
        write_tree(
            folder,
            {
                "all.yml": _PLAYBOOK,
                "group_vars/on_imagebuild": f"apt_server: {self.server.address}\n"
                f'build_artifact_path: "{{{{ playbook_dir }}}}/builds"\n{settings}',
                "hosts": f"[overlay_build_chroot]\n{folder}/root\n",
                "vars/base.yml": "image: {agent: false}\n",
                "vars/extra.yml": _EXTRA,
            },
        )
        return Site(folder, folder / "builds", cache, self.key.trusted)
