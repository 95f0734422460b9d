"""The default image tree: what its playbooks name is there, and what it cannot ship is asked for by name."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagebuilder import resources
from imagebuilder.errors import SpecError
from imagebuilder.spec.tree import TreeSpec, load_image, load_tree

TREE = resources.folder("images")
CONFIG_FILES = sorted(str(path.relative_to(TREE)) for path in TREE.glob("vars/**/*.yml"))
ROLE_FILES = sorted(str(path.relative_to(TREE)) for path in TREE.glob("roles/**/*.yml"))
VENDORS_FILES = {
    "vars/oem/raid.yml": ["files/oem/broadcom/storcli.deb"],
    "vars/oem/dell_raid.yml": ["files/oem/dell/perccli.deb"],
    "vars/oem/intel_flashing.yml": ["files/oem/intel/flashupdt", "files/oem/intel/syscfg"],
    "vars/oem/quanta_flashing.yml": ["files/oem/quanta/ami/afulnx_64", "files/oem/quanta/socflash/socflash_x64"],
}
# The names by which RackHD's workflows ask the boot server for overlays.
ARTIFACT_NAMES = {
    "vars/discovery.yml": "discovery",
    "vars/oem/raid.yml": "raid",
    "vars/oem/dell_raid.yml": "dell.raid",
    "vars/oem/secure_erase.yml": "secure.erase",
    "vars/oem/intel_flashing.yml": "flash_intel",
    "vars/oem/quanta_flashing.yml": "flash_quanta",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree in which every vendor's file is an empty one."""
    shutil.copytree(TREE, tmp_path, dirs_exist_ok=True)
    for name in (name for names in VENDORS_FILES.values() for name in names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def _image(tree: Path, config_file: str, **extra: Any) -> TreeSpec:
    kinds = {"initrd": "initrd", "initrd_virt": "initrd", "base": "base"}
    return load_image(tree, kinds.get(Path(config_file).stem, "overlay"), config_file, None, extra)  # type: ignore[arg-type]


def test_all_yml_builds_an_initrd_a_base_and_the_discovery_overlay() -> None:
    images = load_tree(TREE / "all.yml", {}).images
    assert [(image.kind, image.name) for image in images] == [
        ("initrd", "initrd"),
        ("base", "base"),
        ("overlay", "discovery"),
    ]


def test_example_yml_has_a_role_for_each_kind_and_a_vendors_overlay() -> None:
    images = load_tree(TREE / "example.yml", {}).images
    assert {image.kind for image in images if image.provisioner} == {"initrd", "base", "overlay"}
    assert images[-1].document.path.parent == TREE / "vars/oem"


def test_example_yml_writes_no_artifact_of_all_yml() -> None:
    images = [image for name in ("all.yml", "example.yml") for image in load_tree(TREE / name, {}).images]
    artifacts = [image.artifact_name or (image.kind, image.name) for image in images]
    assert len(artifacts) == len(set(artifacts))


@pytest.mark.parametrize("config_file", CONFIG_FILES)
def test_config_file_is_understood(tree: Path, config_file: str) -> None:
    (image,) = _image(tree, config_file).images
    assert image.name == ARTIFACT_NAMES.get(config_file, Path(config_file).stem)


@pytest.mark.parametrize(
    ("config_file", "missing"), [(config, name) for config, names in VENDORS_FILES.items() for name in names]
)
def test_vendors_file_that_is_missing_is_named_with_its_source(tree: Path, config_file: str, missing: str) -> None:
    (tree / missing).unlink()
    with pytest.raises(SpecError, match=re.escape(f"`{missing}` is missing")) as caught:
        _image(tree, config_file)
    needs = yaml.safe_load((TREE / config_file).read_text())["image"]["requires"]
    vendor = needs[VENDORS_FILES[config_file].index(missing)]["source"].split(",")[0]
    assert caught.value.hint
    assert vendor in caught.value.hint
    assert str(tree / missing) in caught.value.hint


def test_vendors_package_may_have_a_name_of_its_own(tree: Path) -> None:
    (tree / "files/oem/broadcom/storcli.deb").rename(tree / "files/oem/other.deb")
    (image,) = _image(tree, "vars/oem/raid.yml", storcli_deb="files/oem/other.deb").images
    assert getattr(image.keys, "debs", ()) == ("files/oem/other.deb",)


def test_git_ignores_vendors_files_and_nothing_else_there(tree: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tree], check=True)
    status = ["git", "-C", str(tree), "status", "--porcelain", "--untracked-files=all", "files/oem"]
    shown = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    names = {line.removeprefix("?? files/oem/") for line in shown.splitlines()}
    assert names == {".gitignore", "README.md", "load-ami-driver"}


def test_readme_of_vendors_files_and_the_guide_name_each_of_them() -> None:
    readme = (TREE / "files/oem/README.md").read_text()
    for name in (name for names in VENDORS_FILES.values() for name in names):
        assert f"`{name.removeprefix('files/oem/')}`" in readme


@pytest.mark.parametrize("name", ROLE_FILES)
def test_role_file_holds_tasks_or_variables(name: str) -> None:
    content = yaml.safe_load((TREE / name).read_text())
    if Path(name).parent.name == "tasks":
        assert all(task["name"] for task in content)
    else:
        assert isinstance(content, dict)


@pytest.mark.parametrize("config_file", CONFIG_FILES)
def test_commands_pass_shellcheck(tree: Path, config_file: str) -> None:
    (image,) = _image(tree, config_file).images
    script = "\n".join(command for command in image.keys.run if isinstance(command, str))
    done = subprocess.run(["shellcheck", "--shell=sh", "-"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_nobody_may_log_in_unless_the_tree_says_so() -> None:
    (image,) = _image(TREE, "vars/base.yml").images
    assert any("--password=!" in command for command in image.keys.run)
    keys = next(file for file in image.keys.files if file.dest.endswith("/monorail"))
    assert keys.content == ""


def test_the_tree_may_give_keys_and_a_password() -> None:
    given = {"ssh_authorized_keys": ["ssh-ed25519 AAAA one", "ssh-ed25519 BBBB two"], "monorail_password_hash": "$y$x"}
    (image,) = _image(TREE, "vars/base.yml", **given).images
    assert any("--password=$y$x" in command for command in image.keys.run)
    keys = next(file for file in image.keys.files if file.dest.endswith("/monorail"))
    assert keys.content
    assert keys.content.splitlines() == given["ssh_authorized_keys"]
