"""The tree of 2015 in today's form, file by file: `tree_2015_migrated/` beside this file is what comes out.

After a wanted change: `imagebuilder migrate tests/root/tree_2015 DIR`, and copy what differs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.migrate.tree import REPORT, Migration, migrate

OLD = Path(__file__).parents[1] / "root/tree_2015"
EXPECTED = Path(__file__).with_name("tree_2015_migrated")


@pytest.fixture(scope="module")
def migration() -> Migration:
    return migrate(OLD)


def test_every_file_that_is_written_is_as_expected(migration: Migration) -> None:
    ours = ("common/", "ansible.cfg")  # those of the default tree
    written = {name: text for name, text in migration.texts.items() if not name.startswith(ours)}
    expected = {str(p.relative_to(EXPECTED)): p.read_text() for p in EXPECTED.rglob("*") if p.is_file()}
    del expected[REPORT]
    assert written == expected


def test_report_names_every_change(migration: Migration) -> None:
    lines = [str(change).replace(f"{OLD}/", "") for change in migration.changes]
    assert lines == (EXPECTED / REPORT).read_text().splitlines()


def test_files_of_roles_and_of_the_tree_are_copied(migration: Migration) -> None:
    assert {name for name in migration.copies if not name.startswith("roles/")} == {
        *("common/files/01_nodoc", "common/files/apt.conf", "common/files/rc.local"),
        *("common/templates/initramfs_hook.j2", "vars/ipxe.yml"),
    }
    assert {name.split("/")[-1] for name in migration.copies if name.startswith("roles/")} == {
        *("1_network", "local", "site-tools", "tool", "rc.local.hooks.j2"),
    }
