"""What mirrors and packages can do wrong: each is refused with the right words, before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from builds import Site, traces, write_tree
from mirror import Key, Mirror, served, sign, write_suite

pytestmark = [pytest.mark.root, pytest.mark.network]


def _refused(site: Site, *arguments: str) -> str:
    """Build, which must be refused as the user's mistake with nothing built or left; returns error and hint."""
    done = site.run(*arguments)
    assert done.returncode == 2, done.stderr
    assert not site.builds.exists()
    assert not traces(str(site.tree))
    return done.stderr[done.stderr.index("\nerror: ") + 1 :]


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it may be a link to the original
    path.write_bytes(content)


def test_mirror_that_cannot_be_reached(mirror: Mirror, tmp_path: Path) -> None:
    said = _refused(mirror.site(tmp_path / "tree", tmp_path / "cache"), "-e", "apt_server=127.0.0.1:1")
    assert "the mirror http://127.0.0.1:1/debian" in said
    assert "cannot be reached" in said
    assert "hint: the mirror comes from `apt_server` in group_vars" in said


def test_mirror_whose_key_nobody_here_trusts(mirror: Mirror, tmp_path: Path) -> None:
    ours = mirror.site(tmp_path / "tree", tmp_path / "cache")
    said = _refused(Site(ours.tree, ours.builds, ours.cache))
    assert f"the mirror http://{mirror.server.address}/debian" in said
    assert "is not signed by a key that this build trusts" in said
    assert "hint: the keys are in /usr/share/keyrings/debian-archive-keyring.gpg" in said


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("debian/dists/bookworm/InRelease", "is not signed by a key that this build trusts"),
        ("debian/dists/bookworm/main/binary-amd64/Packages", "serves something else than its signed index says"),
    ],
)
def test_mirror_that_was_tampered_with(mirror: Mirror, tmp_path: Path, file: str, message: str) -> None:
    with mirror.changed(tmp_path / "mirror") as bad:
        _flip_a_bit(bad.folder / file)
        assert message in _refused(bad.site(tmp_path / "tree", tmp_path / "cache"))


def test_package_that_was_tampered_with(mirror: Mirror, tmp_path: Path) -> None:
    with mirror.changed(tmp_path / "mirror") as bad:
        _flip_a_bit(bad.folder / "debian/pool/sandwich_2.0_amd64.deb")
        site = bad.site(tmp_path / "tree", tmp_path / "cache")
        said = _refused(site)
    assert "/debian/pool/sandwich_2.0_amd64.deb serves something else than its signed index says" in said
    assert not list(site.cache.glob("archives/sandwich*"))


def test_release_file_that_has_expired(mirror: Mirror, tmp_path: Path) -> None:
    with mirror.changed(tmp_path / "mirror") as old:
        archive = old.folder / "debian"
        release = write_suite(archive, "bookworm-updates", (), **{"Valid-Until": "Mon, 10 Jun 2024 00:00:00 UTC"})
        sign(archive, "bookworm-updates", release, old.key)
        said = _refused(old.site(tmp_path / "tree", tmp_path / "cache"))
    assert f"the mirror http://{old.server.address}/debian" in said
    assert "has a Release file that is out of date" in said


def test_expired_repository_of_ones_own_although_the_host_does_not_mind_its_mirrors_age(
    key: Key, tmp_path: Path, package_cache: Path
) -> None:
    release = write_suite(tmp_path / "web", "stable", (), **{"Valid-Until": "Mon, 10 Jun 2024 00:00:00 UTC"})
    sign(tmp_path / "web", "stable", release, key)
    with served(tmp_path / "web") as server:
        line = f"deb [signed-by={key.keyring}] http://{server.address} stable main"
        write_tree(
            tmp_path / "tree",
            {
                "all.yml": "- import_playbook: common/basefs_wrapper.yml\n  vars: {config_file: vars/base.yml}\n",
                "group_vars/on_imagebuild": f"repository_lists: ['{line}']\n"
                'build_artifact_path: "{{ playbook_dir }}/builds"\n',
                "vars/base.yml": "image: {}\n",
            },
        )
        said = _refused(Site(tmp_path / "tree", tmp_path / "tree/builds", package_cache))
    assert f"the mirror http://{server.address}" in said
    assert "has a Release file that is out of date" in said


def test_all_packages_and_versions_that_cannot_be_had_are_named_at_once(mirror: Mirror, tmp_path: Path) -> None:
    site = mirror.site(tmp_path / "tree", tmp_path / "cache")
    base = "image:\n  packages:\n    - sandwhich\n    - {package: dash, version: '99'}\n"
    extra = "image:\n  packages:\n    - sandwich=3.0\n    - sandwich=1.0\n    - frobnicate\n"
    write_tree(site.tree, {"vars/base.yml": base, "vars/extra.yml": extra})
    said = _refused(site).splitlines()
    assert said[0] == f"error: 4 packages cannot be had from http://{mirror.server.address}/debian:"
    assert said[1].endswith("vars/base.yml:3: there is no package `sandwhich`; did you mean `sandwich`?")
    assert "vars/base.yml:4: `dash` has no version `99`; the mirror has 0.5.12" in said[2]
    assert said[3].endswith("vars/extra.yml:3: `sandwich` has no version `3.0`; the mirror has 2.0, 1.0")
    assert said[4].endswith("vars/extra.yml:5: there is no package `frobnicate`")
    assert said[5].startswith("hint: nothing was built; mend the names and versions above, or ")


def test_packages_that_exclude_each_other(mirror: Mirror, tmp_path: Path) -> None:
    site = mirror.site(tmp_path / "tree", tmp_path / "cache")
    write_tree(site.tree, {"vars/extra.yml": "image:\n  packages: [sandwich, diet]\n"})
    assert "vars/extra.yml:2: apt cannot install what `extra` asks for" in _refused(site)
