"""From a tree to steps: which layers, in which order, and when a step is another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.errors import SpecError
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.model import Plan, PlannedStep
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.settings import Settings
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.steps.ansible import AnsibleRole
from imagebuilder.steps.bootstrap import Bootstrap
from imagebuilder.steps.clean import Clean
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.files import CopyFiles
from imagebuilder.steps.initramfs import InitramfsTree
from imagebuilder.steps.mmdebstrap import Mmdebstrap
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.packages import InstallPackages
from imagebuilder.steps.provision import Provision

KVER = "6.1.0-35-amd64"
INITRD = "- import_playbook: common/initrd_wrapper.yml\n  vars: {config_file: vars/initrd.yml}\n"
Y = OVERLAY.replace("x.yml", "y.yml")
ROLE = {"roles/r/tasks/main.yml": "- copy: {src: '{{ playbook_dir }}/files/motd', dest: /etc/motd}", "files/motd": "m"}
FILES = {
    "all.yml": BASE + OVERLAY,
    "vars/base.yml": "image: {packages: [less]}",
    "vars/x.yml": "image: {packages: [pciutils]}",
}


def _deb(name: str, version: str = "1") -> Deb:
    return Deb(name, version, "amd64", 1, "0" * 64)


def _resolution(tree: TreeSpec, **changes: Any) -> Resolution:
    kernel = Kernel(KVER, (_deb(f"linux-image-{KVER}"),))
    packages = ImagePackages((_deb("less"),), (_deb("busybox"),), (), kernel)
    given: dict[str, Any] = {
        "published": published(Settings()),
        "kernel": kernel,
        "images": {image.name: packages for image in tree.images},
        "python": (_deb("python3"),),
        "bases": {},
        "epoch": 5,
        **changes,
    }
    return Resolution(**given)


def make_plan(root: Path, files: Mapping[str, str], **changes: Any) -> Plan:
    tree = read_tree(root, {**FILES, **files})
    return compile_plan(tree, _resolution(tree, **changes))


def _named(plan: Plan) -> dict[str, PlannedStep]:
    assert len({step.name for step in plan.steps}) == len(plan.steps)
    return {step.name: step for step in plan.steps}


def _ids(plan: Plan) -> dict[str, str]:
    return {step.name: step.id for step in plan.steps}


def names_below(plan: Plan, name: str, role: str = "lower") -> list[str]:
    names = {step.id: step.name for step in plan.steps}
    return [names[i] for i in _named(plan)[name].inputs[role]]


def test_base_and_overlay_are_layers_and_what_is_packed_of_them(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {})
    base, overlay = ["bootstrap", "provision", "squashfs", "sbom"], ["provision", "pack", "sbom", "footing", "contents"]
    assert list(_named(plan)) == [*(f"base: {step}" for step in base), *(f"x: {step}" for step in overlay)]
    assert names_below(plan, "base: provision") == ["base: bootstrap"]
    assert names_below(plan, "base: squashfs") == ["base: bootstrap", "base: provision"]
    assert names_below(plan, "x: provision") == ["base: bootstrap", "base: provision"]
    assert names_below(plan, "x: pack", "upper") == ["x: provision"]
    assert [artifact.name for artifact in plan.artifacts] == [f"base.bookworm.{KVER}.squashfs.img", "x.overlay.cpio.gz"]


def test_packages_are_listed_from_the_layers_that_are_packed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"all.yml": BASE + OVERLAY + INITRD, "vars/initrd.yml": "image:"})
    assert names_below(plan, "base: sbom") == ["base: bootstrap", "base: provision"]
    assert names_below(plan, "x: sbom") == ["base: bootstrap", "base: provision"]
    assert names_below(plan, "x: sbom", "upper") == ["x: provision"]
    assert names_below(plan, "initrd: sbom") == [f"kernel {KVER}: unpack", "initrd: modules", "initrd: programs"]
    names = [plan.step(artifact.packages).name for artifact in plan.artifacts]
    assert names == ["base: sbom", "x: sbom", f"kernel {KVER}: sbom", "initrd: sbom"]


def test_every_step_comes_after_what_it_reads(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"all.yml": OVERLAY + INITRD + BASE, "vars/initrd.yml": "image:"})
    seen: set[str] = set()
    for step in plan.steps:
        assert step.needs <= seen
        seen.add(step.id)
    assert {step for artifact in plan.artifacts for step in (artifact.step, artifact.packages)} <= seen


def test_base_of_an_earlier_build_is_unpacked_once(tmp_path: Path) -> None:
    earlier = tmp_path / "base.squashfs.img"
    earlier.write_text("squashfs")
    files = {"all.yml": OVERLAY + Y, "vars/y.yml": "image: {packages: [lshw]}"}
    plan = make_plan(tmp_path, files, bases={"base": earlier})
    overlays = [f"{name}: {step}" for name in "xy" for step in ("provision", "pack", "sbom", "footing", "contents")]
    assert list(_named(plan)) == ["base: unpack", *overlays]
    before = _ids(plan)
    earlier.write_text("another")
    after = _ids(make_plan(tmp_path, files, bases={"base": earlier}))
    assert not set(before.values()) & set(after.values())


def test_overlay_may_be_a_squashfs_of_its_own_layer(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"vars/x.yml": "image: {format: squashfs}"})
    assert names_below(plan, "x: pack", "upper") == ["x: provision"]
    assert plan.artifacts[-1].name == "x.overlay.squashfs"


def test_initrd_for_https_has_its_client_and_its_authorities(tmp_path: Path) -> None:
    tree = {"all.yml": INITRD, "vars/initrd.yml": "image: {tls: true}", "ca.pem": "-----BEGIN CERTIFICATE-----"}
    plan = make_plan(tmp_path / "tls", {**tree, "group_vars/on_imagebuild": "tls_ca: [ca.pem]"})
    programs = _named(plan)["initrd: programs"].step
    assert isinstance(programs, InitramfsTree)
    assert (programs.programs, programs.authorities) == (("wget",), f"{tree['ca.pem']}\n")
    with pytest.raises(SpecError, match="nothing says whose certificates count"):
        make_plan(tmp_path / "none", {**tree, "group_vars/on_imagebuild": ""})


def test_kernel_and_initrd_come_from_one_package(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"all.yml": INITRD, "vars/initrd.yml": "image: {profile: virt}"})
    steps = _named(plan)
    assert [artifact.name for artifact in plan.artifacts] == [f"vmlinuz-{KVER}", f"initrd.img-{KVER}"]
    image = plan.artifacts[0].step
    (kernel,) = plan.step(image).inputs["kernel"]
    assert steps["initrd: modules"].inputs["kernel"] == (kernel,)
    assert steps["initrd: pack"].inputs["kernel"] == (kernel,)


def test_python_for_roles_is_made_once_and_only_for_them(tmp_path: Path) -> None:
    role = "provisioner: roles/r"
    files = {"all.yml": BASE + OVERLAY + Y, "vars/base.yml": role, "vars/y.yml": role, **ROLE}
    steps = _named(make_plan(tmp_path, files))
    python = (steps["python for Ansible"].id,)
    assert [steps[f"{name}: provision"].inputs["python"] for name in ("base", "x", "y")] == [python, (), python]
    assert "python for Ansible" not in _named(
        make_plan(tmp_path, {**files, "all.yml": BASE + OVERLAY, "vars/base.yml": "image:"})
    )


def test_actions_have_a_fixed_order(tmp_path: Path) -> None:
    config = (
        "provisioner: roles/r\nimage: {run: [a], files: [{dest: /a, content: b}], packages: [less], clean: [/mine]}"
    )
    steps = _named(make_plan(tmp_path, {"vars/base.yml": config, "vars/x.yml": config, **ROLE}))

    def actions(name: str) -> list[Any]:
        step = steps[name].step
        assert isinstance(step, Provision)
        return list(step.actions)

    assert list(map(type, actions("x: provision"))) == [InstallPackages, CopyFiles, RunCommands, AnsibleRole, Clean]
    # A base's packages are bootstrapped; its first files are the node's own.
    assert list(map(type, actions("base: provision"))) == [
        *(CopyFiles, RunCommands),
        *(CopyFiles, RunCommands, AnsibleRole, Clean),
    ]
    assert actions("x: provision")[-1].paths[-1] == "/mine"
    assert "/var/cache/apt/archives/*.deb" in actions("x: provision")[-1].paths


@pytest.mark.parametrize(
    ("setting", "direct"),
    [
        ("", True),
        ("debootstrap_release: trixie", True),
        ("debootstrap_release: sid", False),
        ("{bootstrap: native, debootstrap_release: jammy}", True),
        ("bootstrap: mmdebstrap", False),
    ],
)
def test_one_setting_says_who_installs_packages(tmp_path: Path, setting: str, direct: bool) -> None:
    steps = _named(make_plan(tmp_path, {"group_vars/on_imagebuild": setting}))
    assert isinstance(steps["base: bootstrap"].step, Bootstrap if direct else Mmdebstrap)
    provision = steps["x: provision"].step
    assert isinstance(provision, Provision)
    assert isinstance(provision.actions[0], InstallPackages)
    assert provision.actions[0].direct == direct


def test_who_installs_packages_makes_another_step(tmp_path: Path) -> None:
    ours, theirs = (
        _ids(make_plan(tmp_path, {"group_vars/on_imagebuild": f"bootstrap: {name}"}))
        for name in ("native", "mmdebstrap")
    )
    assert not set(ours.values()) & set(theirs.values())


def test_trees_own_packages_are_installed_in_both_kinds(tmp_path: Path) -> None:
    files = {
        "vars/base.yml": "image: {agent: false, debs: [a.deb]}",
        "vars/x.yml": "image: {debs: [a.deb]}",
        "a.deb": "d",
    }
    for name in ("base", "x"):
        step = _named(make_plan(tmp_path, files))[f"{name}: provision"].step
        assert isinstance(step, Provision)
        first = step.actions[0]
        assert isinstance(first, InstallPackages)
        assert (first.requests, [source.path.name for source in first.local_debs]) == ((), ["a.deb"])


WHOLE = {
    "all.yml": BASE + OVERLAY + INITRD,
    "vars/base.yml": """
        image:
          packages: [less]
          files: [{src: files/f, dest: /f}, {src: files/t.j2, dest: /t, template: true}]
        """,
    "vars/x.yml": "provisioner: roles/r\nimage: {run: ['echo {{ colour }}'], debs: [files/a.deb]}",
    "vars/initrd.yml": "image: {name: initrd}",
    "group_vars/on_imagebuild": "colour: red\nsize: 1",
    "files/f": "f",
    "files/t.j2": "{{ size }}",
    "files/a.deb": "deb",
    **ROLE,
}


def test_same_tree_elsewhere_at_another_time_is_the_same_plan(tmp_path: Path) -> None:
    first = _ids(make_plan(tmp_path / "a", WHOLE))
    second_root = tmp_path / "somewhere/else"
    read_tree(second_root, WHOLE)
    for path in second_root.rglob("*"):
        os.utime(path, (1, 1))
    assert _ids(make_plan(second_root, WHOLE)) == first


BOOTSTRAP, BASE_TOP, X_TOP = "base: bootstrap", "base: provision", "x: provision"
BASE_STEPS = {BOOTSTRAP, BASE_TOP, "base: squashfs", "base: sbom"}
X_STEPS = {X_TOP, "x: pack", "x: sbom", "x: footing", "x: contents"}
BASE_TOP_STEPS = {BASE_TOP, "base: squashfs", "base: sbom", *X_STEPS}

CHANGES: tuple[tuple[str, dict[str, str], dict[str, Any], set[str]], ...] = (
    ("nothing", {}, {}, set()),
    ("a comment", {"vars/x.yml": f"# new\n{WHOLE['vars/x.yml']}"}, {}, set()),
    ("a file of the base", {"files/f": "g"}, {}, BASE_TOP_STEPS),
    ("a template", {"files/t.j2": "{{ size }} "}, {}, BASE_TOP_STEPS),
    ("a variable of a template", {"group_vars/on_imagebuild": "colour: red\nsize: 2"}, {}, BASE_TOP_STEPS),
    ("a variable of a command", {"group_vars/on_imagebuild": "colour: blue\nsize: 1"}, {}, X_STEPS),
    ("a variable that nobody reads", {"group_vars/on_imagebuild": "colour: red\nsize: 1\nmore: 3"}, {}, set()),
    ("the role", {"roles/r/tasks/main.yml": ROLE["roles/r/tasks/main.yml"] + "\n"}, {}, X_STEPS),
    ("a file that the role copies", {"files/motd": "n"}, {}, X_STEPS),
    ("a package of the tree", {"files/a.deb": "other"}, {}, X_STEPS),
    (
        "a request of the base",
        {"vars/base.yml": WHOLE["vars/base.yml"].replace("less", "ed")},
        {},
        BASE_STEPS | X_STEPS,
    ),
    ("the interpreter", {}, {"python": (_deb("python3", "2"),)}, {"python for Ansible", *X_STEPS}),
)


@pytest.mark.parametrize(("name", "files", "changes", "new"), CHANGES, ids=[name for name, *_ in CHANGES])
def test_step_is_another_one_exactly_when_something_that_it_depends_on_changed(
    tmp_path: Path, name: str, files: dict[str, str], changes: dict[str, Any], new: set[str]
) -> None:
    before, after = _ids(make_plan(tmp_path, WHOLE)), _ids(make_plan(tmp_path, {**WHOLE, **files}, **changes))
    assert before.keys() == after.keys()
    assert {step for step in before if before[step] != after[step]} == new


def test_other_version_of_a_package_is_another_step(tmp_path: Path) -> None:
    tree = read_tree(tmp_path, FILES)
    first = _resolution(tree)
    newer = {**first.images, "x": ImagePackages((_deb("pciutils", "2"),))}
    before, after = _ids(compile_plan(tree, first)), _ids(compile_plan(tree, _resolution(tree, images=newer)))
    assert {step for step in before if before[step] != after[step]} == X_STEPS


def test_other_time_changes_what_carries_it(tmp_path: Path) -> None:
    before, after = _ids(make_plan(tmp_path, {})), _ids(make_plan(tmp_path, {}, epoch=6))
    assert not set(before.values()) & set(after.values())


CLASHES: tuple[tuple[str, dict[str, str], str], ...] = (
    (
        "two overlays by an old name",
        {
            "all.yml": OVERLAY + Y,
            "vars/x.yml": "image:\noverlayfs_archive_name: same.cpio.gz",
            "vars/y.yml": "image:\noverlayfs_archive_name: same.cpio.gz",
        },
        "same.cpio.gz",
    ),
    (
        "two initrds of one kernel",
        {
            "all.yml": INITRD + INITRD.replace("initrd.yml", "other.yml"),
            "vars/initrd.yml": "image: {profile: virt}",
            "vars/other.yml": "image:",
        },
        f"vmlinuz-{KVER}",
    ),
)


@pytest.mark.parametrize(("name", "files", "artifact"), CLASHES, ids=[name for name, *_ in CLASHES])
def test_images_that_write_one_artifact_are_refused(
    tmp_path: Path, name: str, files: dict[str, str], artifact: str
) -> None:
    (tmp_path / "base.img").touch()
    with pytest.raises(SpecError) as caught:
        make_plan(tmp_path, files, bases={"base": tmp_path / "base.img"})
    assert caught.value.location.line == 3
    assert f"({tmp_path}/all.yml:1) both write the artifact `{artifact}`" in caught.value.message
    assert "name" in (caught.value.hint or "")


def test_wrong_template_is_an_error_before_any_step(tmp_path: Path) -> None:
    files = {
        "vars/x.yml": "image:\n  files:\n    - {src: t.j2, dest: /t, template: true}",
        "t.j2": "a\n{{ nothing }}\n",
    }
    with pytest.raises(SpecError, match=r"t\.j2:2: this template cannot be rendered: 'nothing' is undefined"):
        make_plan(tmp_path, files)


@pytest.mark.parametrize(
    ("dest", "src", "expected"),
    [("/etc/", "files/f", "/etc/f"), ("/etc", "files/f", "/etc"), ("/etc/", "files", "/etc/")],
)
def test_dest_that_ends_in_a_slash_is_the_folder_that_a_file_goes_into(
    tmp_path: Path, dest: str, src: str, expected: str
) -> None:
    plan = make_plan(tmp_path, {"vars/x.yml": f"image: {{files: [{{src: {src}, dest: {dest}}}]}}", "files/f": "f"})
    step = _named(plan)["x: provision"].step
    assert isinstance(step, Provision)
    copies = step.actions[0]
    assert isinstance(copies, CopyFiles)
    assert copies.files[0].dest == expected


HOOK = {"roles/r/tasks/main.yml": "- copy: {src: hook, dest: /etc/initramfs-tools/hooks/}", "roles/r/files/hook": "h"}


def test_role_that_feeds_initramfs_tools_works_on_a_build_root(tmp_path: Path) -> None:
    config = "provisioner: roles/r\nimage: {include_packages: [less]}"
    plan = make_plan(tmp_path, {"all.yml": INITRD, "vars/initrd.yml": config, **HOOK})
    assert names_below(plan, "initrd: role in the build root") == ["initrd: build root"]
    assert names_below(plan, "initrd: hooks") == ["initrd: build root", "initrd: role in the build root"]
    assert names_below(plan, "initrd: pack") == ["initrd: modules", "initrd: programs", "initrd: hooks"]
    assert "initrd: provision" not in _named(plan)


def test_role_of_today_works_on_the_initrd_itself(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"all.yml": INITRD, "vars/initrd.yml": "provisioner: roles/r", **ROLE})
    assert "initrd: build root" not in _named(plan)
    assert names_below(plan, "initrd: pack") == ["initrd: modules", "initrd: programs", "initrd: provision"]


@pytest.mark.parametrize(
    "files",
    [
        {"vars/x.yml": "image: {packages: [pciutils], strict_portable: true}"},
        {"group_vars/on_imagebuild": "strict_portable: true"},
    ],
)
def test_strictness_is_asked_of_one_overlay_or_of_all(tmp_path: Path, files: dict[str, str]) -> None:
    loose, strict = (
        make_plan(tmp_path, {**FILES, "group_vars/on_imagebuild": "{}"}),
        make_plan(tmp_path, {**FILES, **files}),
    )
    assert (_pack(loose).strict, _pack(strict).strict) == (False, True)
    assert _named(loose)["x: provision"].id == _named(strict)["x: provision"].id


def _pack(plan: Plan) -> PackOverlay:
    step = plan.step(plan.artifacts[-1].step).step
    assert isinstance(step, PackOverlay)
    return step


def test_strictness_wants_the_format_of_2015(tmp_path: Path) -> None:
    files = {"vars/x.yml": "image:\n  format: squashfs", "group_vars/on_imagebuild": "strict_portable: true"}
    with pytest.raises(SpecError, match=r"vars/x.yml:2: an initrd that is not ours does not unpack `format: squashfs`"):
        make_plan(tmp_path, files)
