"""Versions and relations mean what they mean to dpkg."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from imagebuilder.steps.dpkg_database import Fields
from imagebuilder.steps.dpkg_relations import (
    Relation,
    by_any_name,
    clauses,
    compare_versions,
    met_by,
    needed,
    relations,
)

VERSIONS = """
    0 1 1.0 1.00 1.0-0 1.0-1 1.0-1~bpo12+1 1.0-1+deb12u1 1.0-1+deb12u10 1.0~rc1 1.0~~ 1.0~ 1.0a 1.0+b 1.0.1 1.10 1.9
    1:0.1 2:0 1.0-1.1 1.0-1-1 1.0a-1 1.0-a 1.0-~ 1.0+dfsg-2 0~ 1:1:1-1 10 9 09
"""


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    pairs = list(itertools.combinations(VERSIONS.split(), 2))
    script = 'while read -r a b; do if dpkg --compare-versions "$a" lt "$b"; then echo -1; else echo 1; fi; done'
    given = "".join(f"{a} {b}\n{b} {a}\n" for a, b in pairs)
    said = subprocess.run(["sh", "-c", script], input=given, capture_output=True, text=True, check=True).stdout.split()
    for (a, b), (forth, back) in zip(pairs, zip(said[0::2], said[1::2], strict=True), strict=True):
        expected = 0 if forth == back else int(forth)
        ours = compare_versions(a, b)
        assert (ours > 0) - (ours < 0) == expected, (a, b)
        assert compare_versions(b, a) == -ours


def _package(name: str, version: str = "1", **fields: str) -> Fields:
    return {"Package": name, "Version": version, **fields}


def test_relations_have_alternatives_versions_and_architectures() -> None:
    fields = {"Depends": "a (>= 1:2-3), b:any | c (<< 4),\n d [amd64], python3:any (>= 3.9~)", "Breaks": "e"}
    assert list(clauses(fields, "Depends", "Breaks", "Conflicts")) == [
        (Relation("a", ">=", "1:2-3"),),
        (Relation("b"), Relation("c", "<<", "4")),
        (Relation("d"),),
        (Relation("python3", ">=", "3.9~"),),
        (Relation("e"),),
    ]
    assert [relation.name for relation in relations(fields, "Depends")] == ["a", "b", "c", "d", "python3"]


@pytest.mark.parametrize(
    ("relation", "met"),
    [
        ("mawk", True),
        ("mawk (>= 1.3)", True),
        ("mawk (<< 1.3)", False),
        ("mawk (= 1.3)", True),
        ("awk", True),
        ("awk (>= 1)", False),  # the name is provided without a version
        ("awk-api (>= 2)", True),
        ("awk-api (>= 3)", False),
        ("gawk", False),
    ],
)
def test_relation_is_met_by_a_name_or_by_what_provides_it(relation: str, met: bool) -> None:
    index = by_any_name([_package("mawk", "1.3", Provides="awk, awk-api (= 2)"), _package("other")])
    (asked,) = relations({"Depends": relation}, "Depends")
    assert [fields["Package"] for fields in met_by(asked, index)] == (["mawk"] if met else [])


def test_what_packages_come_down_to() -> None:
    packages = [
        _package("a", Depends="b | x, virtual"),
        _package("b", **{"Pre-Depends": "c (>= 1)"}),
        _package("c", Depends="a"),
        _package("d", Provides="virtual"),
        _package("e", Depends="a"),
    ]
    assert needed(["a"], packages) == {"a", "b", "c", "d"}
