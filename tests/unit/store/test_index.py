"""Names move, go back and are forgotten, and what others wrote into the index stays."""

from __future__ import annotations

import json
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.store.index import Former, Index, change_index, full_name, read_index
from imagebuilder.store.layout import Blob, Layout

A, B, C, D = (Blob(letter * 64, 100) for letter in "abcd")
NAME, OTHER = "discovery:latest", "base:latest"
FOREIGN: dict[str, Any] = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": f"sha256:{'e' * 64}",
    "size": 7,
    "annotations": {"org.opencontainers.image.ref.name": "busybox"},
    "platform": {"architecture": "amd64", "os": "linux"},
}
GARBAGE = ("", "[]", "null", "{}", '{"manifests": [1]}', '{"manifests": [{"artifactType": 1, "digest": "x"}]', "\0")


def _moved(*manifests: Blob, name: str = NAME, index: Index | None = None) -> Index:
    index = index or Index()
    for manifest in manifests:
        index = index.moved(name, manifest)
    return index


def test_name_moves_and_its_past_is_remembered_in_order() -> None:
    index = _moved(A, B, C)
    assert index.names == {NAME: C}
    assert index.past == (Former(NAME, 1, A), Former(NAME, 2, B))


def test_moving_a_name_to_where_it_is_changes_nothing() -> None:
    index = _moved(A, B)
    assert index.moved(NAME, B) is index


def test_name_goes_back_step_by_step_and_no_further() -> None:
    index = _moved(A, B, C, index=_moved(D, B, name=OTHER))
    once = index.rolled_back(NAME)
    assert (once.names[NAME], once.names[OTHER]) == (B, B)
    twice = once.rolled_back(NAME)
    assert twice.names[NAME] == A
    with pytest.raises(UserError, match="never stood for anything else"):
        twice.rolled_back(NAME)
    with pytest.raises(UserError, match="`unknown:latest`"):
        twice.rolled_back("unknown:latest")


def test_forgotten_name_takes_its_past_with_it() -> None:
    index = _moved(A, B, index=_moved(C, D, name=OTHER)).without(NAME)
    assert index == _moved(C, D, name=OTHER)


@pytest.mark.parametrize(("keep", "kept"), [(0, []), (1, [C]), (2, [B, C]), (9, [A, B, C])])
def test_past_is_cut_for_each_name_by_itself(keep: int, kept: list[Blob]) -> None:
    index = _moved(A, B, C, D, index=_moved(A, name=OTHER)).moved(OTHER, B).with_past(keep)
    assert [former.manifest for former in index.past if former.name == NAME] == kept
    assert [former.manifest for former in index.past if former.name == OTHER] == ([A] if keep else [])


def test_index_is_what_it_was_after_it_was_written_and_read() -> None:
    index = _moved(A, B, C, index=_moved(C, A, name=OTHER).with_foreign(FOREIGN))
    assert Index.from_json(index.to_json()) == index


def test_written_index_is_one_that_public_tools_read() -> None:
    value = json.loads(_moved(A, B).to_json())
    current, former = value["manifests"]
    assert value["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert current["digest"] == B.digest
    assert current["annotations"] == {"org.opencontainers.image.ref.name": NAME}
    assert "org.opencontainers.image.ref.name" not in former["annotations"]


def test_entries_of_others_are_kept_as_they_are(layout: Layout) -> None:
    layout.index.write_text(json.dumps({"schemaVersion": 2, "manifests": [FOREIGN]}))
    change_index(layout, lambda index: index.moved(NAME, A))
    change_index(layout, lambda index: index.without(NAME))
    assert json.loads(layout.index.read_text())["manifests"] == [FOREIGN]


def test_foreign_entry_is_there_once_and_with_its_blob_if_that_is_ours_to_know() -> None:
    other = {**FOREIGN, "digest": "sha512:" + "0" * 128}
    index = Index().with_foreign(FOREIGN).with_foreign(dict(FOREIGN)).with_foreign(other)
    assert index.foreign == (FOREIGN, other)
    assert list(index.foreign_blobs()) == [(FOREIGN, Blob("e" * 64, 7))]


@pytest.mark.parametrize("text", GARBAGE)
def test_garbage_is_no_index(layout: Layout, text: str) -> None:
    layout.index.write_text(text)
    with pytest.raises(ImagebuilderError, match=r"index\.json is no index"):
        read_index(layout)
    with pytest.raises(ImagebuilderError, match="is no index"):
        change_index(layout, lambda index: index.moved(NAME, A))
    assert layout.index.read_text() == text


def test_lost_index_is_not_taken_for_an_empty_one_until_somebody_builds(layout: Layout) -> None:
    layout.index.unlink()
    with pytest.raises(ImagebuilderError, match=r"has no index\.json"):
        change_index(layout, lambda index: index.moved(NAME, A))
    layout.prepare()
    assert read_index(layout) == Index()


def test_store_that_is_not_there_has_no_names(tmp_path: Path) -> None:
    assert read_index(Layout(tmp_path / "nowhere")) == Index()


def test_change_that_changes_nothing_writes_nothing(layout: Layout) -> None:
    before = layout.index.stat().st_ino
    change_index(layout, lambda index: index)
    assert layout.index.stat().st_ino == before


def test_no_change_is_lost_among_many(layout: Layout) -> None:
    def work(number: int) -> None:
        for count in range(5):
            name = f"n{number}:v{count}"
            change_index(layout, partial(Index.moved, name=name, manifest=A))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_index(layout).names) == 30


NAMES = (("a", "a:latest"), ("discovery:stable", "discovery:stable"), ("a.b_c-d+e:1.0", "a.b_c-d+e:1.0"))


@pytest.mark.parametrize(("given", "full"), NAMES)
def test_image_alone_is_its_latest(given: str, full: str) -> None:
    assert full_name(given) == full


@pytest.mark.parametrize("given", ["", ":", "a:", ":a", "a:b:c", "a/b", "-a", "a b", "a:b\n", "a@sha256:0", ".."])
def test_what_is_no_name_is_the_users_mistake(given: str) -> None:
    with pytest.raises(UserError, match="is no name"):
        full_name(given)
