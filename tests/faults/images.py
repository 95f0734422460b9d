"""Images that are not what they should be: signatures, lists, manifests and layers."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import replace

from faults.case import (
    BASE_PATH,
    BY_NAME,
    FEW,
    LONG,
    MANIFEST,
    ONCE,
    OVERLAY_PATH,
    QUICK,
    SIGNATURE,
    Case,
    cut,
    file,
    flip,
    flip_early,
    having,
    lacking,
    longer,
    same_size,
    signed,
    swapped,
    with_capability,
    with_layers,
    with_overlay,
    with_sums,
    with_text,
)
from hostile import Trouble
from imagebuilder.steps.contents import Contents
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.store.manifest import BASE, OVERLAYS
from initrd_jail import (
    BASE_NAME,
    FOREIGN_KEY,
    NEXT_KEY,
    OVERLAY_NAME,
    SINCE,
    layer,
)

_SPECIAL = (
    file("su", mode=0o4755),
    file("odd [name] *?\\%\xe9", mode=0o2755),
    Source(Member(b"memory", stat.S_IFCHR | 0o666, device=(1, 5))),
)

CASES: Mapping[str, Case] = {
    # Where the image comes from
    "manifest by path": Case("booted", QUICK),
    "manifest by name": Case("booted", QUICK, arguments="MANIFEST=discovery"),
    "manifest by channel": Case("booted", QUICK, arguments="MANIFEST=discovery:stable"),
    "manifest by path of a registry": Case("booted", QUICK, arguments="MANIFEST=/v2/discovery/manifests/stable"),
    "manifest by digest": Case("booted", QUICK, arguments="MANIFEST=sha256:{manifest}"),
    "manifest by digest that the server has not": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=sha256:" + 64 * "0"),
    "another manifest under a digest": Case(
        "NB-DIGEST",
        FEW,
        files=lambda image: {**image.files, "/blobs/sha256/" + 64 * "0": image.files[MANIFEST]},
        arguments="MANIFEST=sha256:" + 64 * "0",
    ),
    "layers by name under signed sums": Case("booted", QUICK, arguments=BY_NAME),
    "no such manifest": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/nothing.manifest.json"),
    "nothing to boot": Case("NB-ARGUMENT", FEW, arguments=""),
    "no server": Case("NB-ARGUMENT", FEW, arguments=f"MANIFEST={MANIFEST} API_CB="),
    "https": Case("NB-ARGUMENT", FEW, arguments="MANIFEST=https://server/discovery.manifest.json"),
    # Keys and signatures
    "signed by the next key": Case("booted", QUICK, files=signed(NEXT_KEY)),
    "signed by a foreign key": Case("NB-SIGNATURE", FEW, files=signed(FOREIGN_KEY)),
    "signed by the old key when only the next is trusted": Case("NB-SIGNATURE", FEW, trusted="next"),
    "no signature": Case("NB-UNSIGNED", FEW, files=lacking(SIGNATURE)),
    "empty signature": Case("NB-SIGNATURE", FEW, files=having(signature=b"")),
    "signature of another manifest": Case("NB-SIGNATURE", FEW, files=having(manifest=b"{}")),
    "signature of a megabyte": Case("NB-FETCH", LONG, files=having(signature=bytes(1_000_000))),
    "manifest of two megabytes": Case("NB-FETCH", LONG, files=having(manifest=bytes(2_000_000))),
    "image signed under another name": Case("NB-NAME", FEW, files=signed(file="secure-erase.manifest.json")),
    "expired": Case("NB-EXPIRED", FEW, files=signed(expires=str(SINCE + 2))),
    "not expired": Case("booted", QUICK, files=signed(expires="9999999999")),
    "signed before the initrd's packages": Case("NB-ROLLBACK", FEW, files=signed(timestamp=str(SINCE - 1))),
    "signed before nb.manifest_min": Case(
        "NB-ROLLBACK", FEW, arguments=f"MANIFEST={MANIFEST} nb.manifest_min={SINCE + 2}"
    ),
    "nb.manifest_min below the initrd's": Case(
        "NB-ROLLBACK", FEW, files=signed(timestamp=str(SINCE - 1)), arguments=f"MANIFEST={MANIFEST} nb.manifest_min=1"
    ),
    "nb.manifest_min that is no number": Case("NB-ARGUMENT", FEW, arguments="nb.manifest_min=now"),
    "signature without a time": Case("NB-SIGNATURE", FEW, files=signed(timestamp="")),
    "signature with a huge time": Case("NB-SIGNATURE", FEW, files=signed(timestamp=30 * "9")),
    "signature with an expiry that is no number": Case("NB-SIGNATURE", FEW, files=signed(expires="never")),
    "signature that names the shell": Case("NB-NAME", FEW, files=signed(file="$(reboot)")),
    "unsigned initrd boots, and says so": Case(
        "booted", QUICK, files=lacking(SIGNATURE), trusted="none", says="UNSIGNED: this initrd trusts no keys"
    ),
    "unsigned initrd checks digests all the same": Case(
        "NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=flip)}], trusted="none"
    ),
    "unsigned initrd without sums": Case(
        "booted", QUICK, files=lacking("/SHA256SUMS"), arguments=BY_NAME, trusted="none", says="UNCHECKED"
    ),
    # Sums
    "no sums": Case("NB-NOT-FOUND", FEW, files=lacking("/SHA256SUMS"), arguments=BY_NAME),
    "unsigned sums": Case("NB-UNSIGNED", FEW, files=lacking("/SHA256SUMS.minisig"), arguments=BY_NAME),
    "changed sums": Case("NB-SIGNATURE", FEW, servers=[{"/SHA256SUMS": Trouble(body=flip_early)}], arguments=BY_NAME),
    "sums without the layer": Case("NB-UNSIGNED", FEW, files=with_sums(f"{64 * '0'}  x\n"), arguments=BY_NAME),
    "sums that say otherwise": Case(
        "NB-DIGEST",
        FEW,
        files=with_sums("".join(f"{64 * '0'}  {n}\n" for n in (BASE_NAME, OVERLAY_NAME))),
        arguments=BY_NAME,
    ),
    "expired sums": Case("NB-EXPIRED", FEW, files=with_sums("", expires="1700000009"), arguments=BY_NAME),
    "a signed manifest for sums": Case(
        "NB-NAME",
        FEW,
        arguments=BY_NAME,
        files=lambda image: {
            **image.files,
            "/SHA256SUMS": image.files[MANIFEST],
            "/SHA256SUMS.minisig": image.files[SIGNATURE],
        },
    ),
    # What a manifest may say
    "signed file that is no manifest": Case("NB-MANIFEST", FEW, files=with_text(lambda _: b'{"layers": []}')),
    "manifest with more after its end": Case("NB-MANIFEST", FEW, files=with_text(lambda text: text + b"\n{}")),
    "manifest that is cut": Case("NB-MANIFEST", FEW, files=with_text(lambda text: text[:-3])),
    "manifest on one line": Case("NB-MANIFEST", FEW, files=with_text(lambda text: text.replace(b"\n", b" "))),
    "title with a path": Case("NB-MANIFEST", FEW, files=with_text(lambda t: t.replace(BASE_NAME.encode(), b"../base"))),
    "title with a quote": Case(
        "NB-MANIFEST", FEW, files=with_text(lambda t: t.replace(BASE_NAME.encode(), b'\\"$(x)'))
    ),
    "negative size": Case("NB-MANIFEST", FEW, files=with_text(lambda text: text.replace(b'"size": 4', b'"size": -4'))),
    "another algorithm": Case("NB-MANIFEST", FEW, files=with_text(lambda text: text.replace(b"sha256:", b"sha512:"))),
    "manifest without a base": Case("NB-MANIFEST", FEW, files=with_layers(lambda manifest: manifest.layers[:2])),
    "overlay below the base": Case(
        "NB-MANIFEST",
        FEW,
        files=with_layers(lambda manifest: (*manifest.layers[:2], manifest.layers[3], manifest.layers[2])),
    ),
    "two bases": Case("NB-MANIFEST", FEW, files=with_layers(lambda manifest: (*manifest.layers, manifest.layers[2]))),
    # Layers that are not what they should be
    "flipped bit in the base": Case("NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=flip)}]),
    "flipped bit in the overlay": Case("NB-DIGEST", FEW, servers=[{OVERLAY_PATH: Trouble(body=flip)}]),
    "flipped bit on the way, once": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, body=flip)}]),
    "damaged mirror before a good one": Case("booted", FEW, servers=[{BASE_PATH: Trouble(body=flip)}, {}]),
    "flipped bit in the manifest, once": Case("booted", FEW, servers=[{MANIFEST: Trouble(ONCE, body=flip_early)}]),
    "old signature while a channel moves": Case(
        "booted", FEW, servers=[{SIGNATURE: Trouble(ONCE, body=lambda _: FOREIGN_KEY.sign(b"", {}).encode())}]
    ),
    "truncated base": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(body=cut)}]),
    "truncated base, once": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, body=cut)}]),
    "longer base": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(body=longer)}]),
    "zeros instead of the base": Case("NB-DIGEST", FEW, servers=[{BASE_PATH: Trouble(body=same_size)}]),
    "swapped layers": Case("NB-FETCH", LONG, files=swapped),
    "page of a captive portal": Case("NB-SIGNATURE", FEW, servers=[{"*": Trouble(body=lambda _: b"<html>log in")}]),
    "overlay with ..": Case("NB-UNPACK", FEW, files=with_overlay(file("../etc/passwd"))),
    "overlay through a link": Case(
        "NB-UNPACK",
        FEW,
        files=with_overlay(Source(Member(b"a", stat.S_IFLNK | 0o777, size=4), b"/usr"), file("a/x")),
    ),
    "overlay with a device node": Case(
        "booted",
        QUICK,
        files=with_overlay(Source(Member(b"memory", stat.S_IFCHR | 0o666, device=(1, 5)))),
        check="stat -c %t:%T /newroot/memory && ! head -c 1 /newroot/memory 2>/dev/null",
        says="1:5",
    ),
    "special files that the manifest lists": Case(
        "booted",
        QUICK,
        files=with_overlay(*_SPECIAL, contents=Contents(9, ("/memory", "/odd [name] *?\\%\xe9", "/su"))),
        check="test -u /newroot/su",
    ),
    "setuid file that the manifest does not list": Case(
        "NB-UNLISTED",
        FEW,
        files=with_overlay(*_SPECIAL, contents=Contents(9, ("/memory", "/odd [name] *?\\%\xe9", "/s"))),
        says="layer 1 has /su:",
    ),
    "setgid file where the manifest lists one with another odd name": Case(
        "NB-UNLISTED",
        FEW,
        files=with_overlay(*_SPECIAL, contents=Contents(9, ("/memory", "/odd [name] *??%\xe9", "/su"))),
        says="layer 1 has /odd [name] *?",
    ),
    "device node that the manifest does not list": Case(
        "NB-UNLISTED",
        FEW,
        files=with_overlay(*_SPECIAL, contents=Contents(9, ("/odd [name] *?\\%\xe9", "/su"))),
        says="layer 1 has /memory:",
    ),
    "capability that the manifest lists": Case(
        "booted", QUICK, files=with_capability(Contents(9, ("/ping",))), check="test -x /newroot/ping"
    ),
    "capability that the manifest does not list": Case(
        "NB-UNLISTED", FEW, files=with_capability(Contents(9, ("/pin",))), says="layer 1 has /ping:"
    ),
    "whiteout where the manifest lists nothing": Case(
        "booted",
        QUICK,
        files=with_overlay(
            Source(Member(b"etc", stat.S_IFDIR | 0o2755)),
            Source(Member(b"etc/base", stat.S_IFCHR)),
            contents=Contents(0, ()),
        ),
        check="! test -e /newroot/etc/base",
    ),
    "manifest that says half of what an overlay unpacks to": Case(
        "NB-MANIFEST",
        FEW,
        files=with_text(lambda t: t.replace(b'gz"\n', b'gz",\n        "on-imagebuilder.unpacked": "1"\n')),
    ),
    "special file whose name leads to another test": Case(
        "NB-MANIFEST",
        FEW,
        files=with_text(
            lambda t: t.replace(
                b'gz"\n',
                b'gz",\n        "on-imagebuilder.unpacked": "1",\n        "on-imagebuilder.special": "/* -o /$(x)"\n',
            )
        ),
    ),
    "hash tree of the base, and an initrd that cannot open it": Case(
        "NB-VERITY",
        FEW,
        files=with_text(
            lambda t: t.replace(b'img"\n', b'img",\n        "on-imagebuilder.verity": "1 %s"\n' % (b"0" * 64))
        ),
    ),
    "hash tree with a root that is none": Case(
        "NB-MANIFEST",
        FEW,
        files=with_text(
            lambda t: t.replace(b'img"\n', b'img",\n        "on-imagebuilder.verity": "1 %s"\n' % (b"0" * 63))
        ),
    ),
    "hash tree of an overlay": Case(
        "NB-MANIFEST",
        FEW,
        files=with_text(
            lambda t: t.replace(b'gz"\n', b'gz",\n        "on-imagebuilder.verity": "1 %s"\n' % (b"0" * 64))
        ),
    ),
    "overlay that takes more RAM unpacked than there is": Case(
        "NB-MEMORY",
        FEW,
        files=with_overlay(file("x"), contents=Contents(9_000_000_000, ())),
        meminfo="MemTotal: 2000000 kB\nMemAvailable: 1900000 kB",
        says="overlays 9001,",
    ),
    "overlay that is no archive": Case(
        "NB-FORMAT",
        FEW,
        check="true",
        files=lambda image: {
            **image.signed(
                manifest=replace(
                    image.manifest,
                    layers=(*image.manifest.layers[:3], layer(OVERLAYS["cpio.gz"], OVERLAY_NAME, b"<html>")),
                )
            ),
            OVERLAY_PATH: b"<html>",
        },
    ),
    "base that is no squashfs": Case(
        "NB-MOUNT",
        FEW,
        files=lambda image: {
            **image.signed(manifest=replace(image.manifest, layers=(layer(BASE, BASE_NAME, b"<html>"),))),
            BASE_PATH: b"<html>",
        },
    ),
}
