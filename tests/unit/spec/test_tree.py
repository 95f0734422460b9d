"""A tree as one value: precedence of variables, files that must be there, images that fit each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from image_tree import BASE, OVERLAY, read_tree, write_tree
from imagebuilder.errors import SpecError
from imagebuilder.spec.config import OverlayKeys
from imagebuilder.spec.tree import TreeSpec, load_image

ROLE = "roles/overlay/provision_x"
QUOTED = "'roles/{{ nothing }}'"
TASKS = {f"{ROLE}/tasks/main.yml": "[]"}


def _overlay(name: str, **variables: str) -> str:
    lines = [f"config_file: vars/{name}.yml", *(f"{k}: {v}" for k, v in variables.items())]
    return f"- import_playbook: common/overlay_wrapper.yml\n  vars: {{{', '.join(lines)}}}\n"


def _bases(tree: TreeSpec) -> dict[str, tuple[str, ...]]:
    return {image.name: image.keys.base for image in tree.images if isinstance(image.keys, OverlayKeys)}


PRECEDENCE: tuple[tuple[dict[str, str], dict[str, Any], str], ...] = (
    ({"hosts": "[on_imagebuild:vars]\ncolour=hosts\n"}, {}, "hosts"),
    ({"hosts": "[on_imagebuild:vars]\ncolour=hosts\n", "group_vars/on_imagebuild": "colour: group"}, {}, "group"),
    ({"group_vars/on_imagebuild.yml": "colour: group"}, {}, "group"),
    ({"group_vars/on_imagebuild": "colour: group", "vars/x.yml": "image: {}\ncolour: own"}, {}, "own"),
    ({"vars/x.yml": "image: {}\ncolour: own", "all.yml": _overlay("x", colour="entry")}, {}, "entry"),
    ({"vars/x.yml": "image: {}\ncolour: own", "all.yml": _overlay("x", colour="entry")}, {"colour": "e"}, "e"),
)


@pytest.mark.parametrize(("files", "extra", "winner"), PRECEDENCE)
def test_nearer_variable_wins(tmp_path: Path, files: dict[str, str], extra: dict[str, Any], winner: str) -> None:
    tree = read_tree(tmp_path, {"vars/x.yml": "image: {}", **files}, **extra)
    assert tree.images[0].variables["colour"] == winner


def test_role_sees_settings_and_no_variable_that_nobody_set(tmp_path: Path) -> None:
    variables = read_tree(tmp_path, {"vars/x.yml": "image: {}"}, build_artifact_path="out").images[0].variables
    assert variables["debootstrap_release"] == "bookworm"
    assert variables["build_artifact_path"] == f"{tmp_path}/out"
    assert "apt_server" not in variables


def test_values_are_rendered_with_all_variables(tmp_path: Path) -> None:
    files = {
        "group_vars/on_imagebuild": "suffix: cli\ntool: 'nvme-{{ suffix }}'",
        "vars/x.yml": "more: [hdparm]\nimage: {packages: \"{{ [tool] + more + ['k-' ~ debootstrap_release] }}\"}",
    }
    (image,) = read_tree(tmp_path, files).images
    assert isinstance(image.keys, OverlayKeys)
    assert [str(package) for package in image.keys.packages] == ["nvme-cli", "hdparm", "k-bookworm"]


def test_whole_image_mapping_may_be_a_variable(tmp_path: Path) -> None:
    files = {"vars/x.yml": "shared: {packages: [less]}\nimage: '{{ shared }}'"}
    (image,) = read_tree(tmp_path, files).images
    assert isinstance(image.keys, OverlayKeys)
    assert len(image.keys.packages) == 1


def test_image_is_named_after_its_file_or_as_it_says(tmp_path: Path) -> None:
    files = {"all.yml": OVERLAY + _overlay("y"), "vars/x.yml": "image: {}", "vars/y.yml": "image: {name: other}"}
    assert [image.name for image in read_tree(tmp_path, files).images] == ["x", "other"]


@pytest.mark.parametrize(
    ("config", "entry"), [(f"provisioner: {ROLE}", {}), ("image:", {"provisioner": ROLE}), ("", {"provisioner": ROLE})]
)
def test_provisioner_is_the_config_files_or_the_entrys(tmp_path: Path, config: str, entry: dict[str, str]) -> None:
    (image,) = read_tree(tmp_path, {"all.yml": _overlay("x", **entry), "vars/x.yml": config, **TASKS}).images
    assert image.provisioner
    assert image.provisioner.role == tmp_path / ROLE


def test_single_image_is_read_without_a_playbook(tmp_path: Path) -> None:
    write_tree(tmp_path, {"vars/x.yml": "image: {packages: ['{{ p }}']}", **TASKS})
    tree = load_image(tmp_path, "overlay", "vars/x.yml", ROLE, {"p": "less"})
    (image,) = tree.images
    assert (image.kind, image.name, tree.root) == ("overlay", "x", tmp_path)
    assert image.provisioner


STACKS: tuple[tuple[str, dict[str, str], dict[str, tuple[str, ...]]], ...] = (
    ("no base in the playbook", {"all.yml": OVERLAY}, {"x": ("base",)}),
    ("the only base", {"all.yml": BASE + OVERLAY, "vars/base.yml": "image: {name: mine}"}, {"x": ("mine",)}),
    (
        "two bases",
        {"all.yml": BASE + BASE.replace("base.yml", "b2.yml") + OVERLAY, "vars/b2.yml": "image: {}"},
        {"x": ("base",)},
    ),
    (
        "a base that is named",
        {"all.yml": BASE + OVERLAY, "vars/base.yml": "image: {name: mine}", "vars/x.yml": "image: {base: base}"},
        {"x": ("base",)},
    ),
    (
        "overlays over one base",
        {"all.yml": BASE + OVERLAY + _overlay("y"), "vars/y.yml": "image: {base: [base, x]}"},
        {"x": ("base",), "y": ("base", "x")},
    ),
)


@pytest.mark.parametrize(("name", "files", "expected"), STACKS, ids=[name for name, _, _ in STACKS])
def test_overlay_is_made_on(
    tmp_path: Path, name: str, files: dict[str, str], expected: dict[str, tuple[str, ...]]
) -> None:
    assert _bases(read_tree(tmp_path, {"vars/x.yml": "image: {}", "vars/base.yml": "image: {}", **files})) == expected


WRONG: tuple[tuple[str, dict[str, str], str, str], ...] = (
    ("config file missing", {"vars/y.yml": ""}, "all.yml:1: the config file `vars/x.yml` does not exist", "vars/y.yml"),
    ("config file is a list", {"vars/x.yml": "- a"}, "vars/x.yml:1: a config file is a mapping", ""),
    (
        "nothing to build",
        {"vars/x.yml": "colour: red"},
        "vars/x.yml:1: this config file says nothing to build",
        "image:",
    ),
    ("nothing at all", {"vars/x.yml": ""}, "vars/x.yml: this config file says nothing to build", "provisioner:"),
    ("image is a list", {"vars/x.yml": "a: 1\nimage: [a]"}, "vars/x.yml:2: `image` is a mapping", ""),
    ("group_vars is a list", {"group_vars/on_imagebuild": "[a]"}, "group_vars/on_imagebuild:1: group_vars are", ""),
    (
        "role missing",
        {"vars/x.yml": "a: 1\nprovisioner: roles/overlay/provision_y", **TASKS},
        "vars/x.yml:2: the provisioner `roles/overlay/provision_y` is not a role here",
        f"did you mean `{ROLE}`?",
    ),
    (
        "role of the entry missing",
        {"all.yml": f"\n{_overlay('x', provisioner='zzz')}", "vars/x.yml": "image:", **TASKS},
        "all.yml:2: the provisioner `zzz` is not a role here",
        f"there are: {ROLE}",
    ),
    (
        "role elsewhere",
        {"vars/x.yml": "provisioner: /etc"},
        "vars/x.yml:1: the provisioner `/etc` is not in this tree",
        "",
    ),
    (
        "role of the entry undefined",
        {"all.yml": f"\n{_overlay('x', provisioner=QUOTED)}", "vars/x.yml": "image:"},
        "all.yml:2: `roles/{{ nothing }}` cannot be rendered: 'nothing' is undefined",
        "group_vars/on_imagebuild",
    ),
    (
        "vendor's file missing",
        {"vars/x.yml": "image:\n  requires:\n    - {file: files/tool.deb, source: https://vendor}"},
        "vars/x.yml:3: the file `files/tool.deb` is missing",
        "https://vendor",
    ),
    (
        "file missing",
        {"vars/x.yml": "image:\n  files:\n    - {src: files/a, dest: /a}"},
        "vars/x.yml:3: the file `files/a` does not exist",
        "looked up in",
    ),
    (
        "deb missing",
        {"vars/x.yml": "image:\n  debs:\n    - a.deb"},
        "vars/x.yml:3: the file `a.deb` does not exist",
        "",
    ),
    (
        "twins",
        {"all.yml": OVERLAY + _overlay("oem/x"), "vars/x.yml": "image:", "vars/oem/x.yml": "image:"},
        "all.yml:3: the name `x` is taken by",
        "another `name:`",
    ),
    ("the same entry twice", {"all.yml": OVERLAY + OVERLAY, "vars/x.yml": "image:"}, "all.yml:3: the name `x` is", ""),
    ("an overlay on itself", {"vars/x.yml": "image:\n  base: [x]"}, "vars/x.yml:2: `x` is built on itself", ""),
    (
        "overlays on each other",
        {"all.yml": OVERLAY + _overlay("y"), "vars/x.yml": "image:\n  base: y", "vars/y.yml": "\nimage: {base: x}"},
        "vars/y.yml:2: `x` is built on itself",
        "",
    ),
    (
        "an overlay on an initrd",
        {
            "all.yml": OVERLAY + "- include: common/initrd_wrapper.yml\n  vars: {config_file: vars/i.yml}\n",
            "vars/x.yml": "image: {base: i}",
            "vars/i.yml": "image:",
        },
        "vars/x.yml:1: `x` is built on `i`, an initrd",
        "",
    ),
    (
        "a setting in a config file",
        {"vars/x.yml": "image:\ndebootstrap_release: trixie"},
        "vars/x.yml:2: `debootstrap_release` holds for every image",
        "group_vars/on_imagebuild",
    ),
    (
        "a setting in an entry",
        {
            "all.yml": _overlay("x", apt_server="cache"),
            "vars/x.yml": "image:",
        },
        "all.yml:1: `apt_server` holds for every image",
        "-e",
    ),
)


@pytest.mark.parametrize(("name", "files", "message", "hint"), WRONG, ids=[name for name, _, _, _ in WRONG])
def test_wrong_tree_is_an_error_with_its_place(
    tmp_path: Path, name: str, files: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(SpecError) as caught:
        read_tree(tmp_path, files)
    assert caught.value.message.startswith(f"{tmp_path}/{message}")
    assert hint in (caught.value.hint or "")
