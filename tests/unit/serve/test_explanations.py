"""The page explains a code as the reference does."""

from __future__ import annotations

from imagebuilder import resources
from imagebuilder.serve.explanations import explanations


def test_every_code_of_the_reference_is_explained_without_markup_of_links() -> None:
    text = (resources.folder("docs") / "reference/node-errors.md").read_text()
    assert len(explanations()) == sum(line.startswith("| `NB-") for line in text.splitlines()) > 20
    assert explanations()["NB-DIGEST"].happened.startswith("a file is not what its manifest")
    assert not any("](" in told.happened + told.look_at for told in explanations().values())
