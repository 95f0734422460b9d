"""Servers that misbehave, and nodes that lack something or are told strange things."""

from __future__ import annotations

from collections.abc import Mapping

from faults.case import (
    BASE_PATH,
    FEW,
    HALF,
    LONG,
    MANIFEST,
    ONCE,
    OVERLAY_PATH,
    QUICK,
    SMALL_NODE,
    TWICE,
    Case,
    lacking,
)
from hostile import Trouble

CASES: Mapping[str, Case] = {
    # Servers and networks
    "404 for the base": Case("NB-NOT-FOUND", FEW, files=lacking(BASE_PATH)),
    "403 for the base": Case("NB-FETCH", FEW, servers=[{BASE_PATH: Trouble(status=403)}]),
    "500 for ever": Case("NB-FETCH", LONG, servers=[{"*": Trouble(status=500)}]),
    "500 twice": Case("booted", FEW, servers=[{BASE_PATH: Trouble(TWICE, status=500)}]),
    "503 with Retry-After": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "10"})}]
    ),
    "503 that wants an hour, once": Case(
        "booted", LONG, servers=[{OVERLAY_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "3600"})}]
    ),
    "503 with a Retry-After that is no number": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=503, headers={"Retry-After": "soon"})}]
    ),
    "429": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, status=429)}]),
    "307 to another place": Case(
        "booted",
        QUICK,
        servers=[{BASE_PATH: Trouble(status=307, headers={"Location": "/elsewhere"})}],
        files=lambda image: {**image.files, "/elsewhere": image.files[BASE_PATH]},
    ),
    "redirects in a circle": Case(
        "NB-FETCH", FEW, servers=[{BASE_PATH: Trouble(status=302, headers={"Location": BASE_PATH})}]
    ),
    "stall at 50 %": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=HALF, silent=60)}]),
    "silence from the first byte": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=0, silent=60)}]),
    "stall at 50 % of one server, and another": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(sent=HALF, silent=60)}, {}]
    ),
    "reset every 100 KB": Case("booted", FEW, servers=[{BASE_PATH: Trouble(sent=100_000)}]),
    "reset every 10 KB, no Range": Case("NB-FETCH", LONG, servers=[{BASE_PATH: Trouble(sent=10_000, whole=True)}]),
    "Content-Length too small": Case("booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, length=str(HALF))}]),
    "Content-Length too large": Case("booted", FEW, servers=[{BASE_PATH: Trouble(length="999999999")}]),
    "no Content-Length, and half of it": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(ONCE, sent=HALF, length="")}]
    ),
    "server dies and comes back": Case("booted", LONG, servers=[{"*": Trouble(3, sent=0)}]),
    "first server dead": Case("booted", FEW, servers=[None, {}]),
    "two of three servers dead": Case("booted", FEW, servers=[None, None, {}]),
    "all servers dead": Case("NB-FETCH", LONG, servers=[None, None]),
    "first server has nothing": Case("booted", FEW, servers=[{"*": Trouble(status=404)}, {}]),
    "every server lacks another layer": Case(
        "booted", FEW, servers=[{BASE_PATH: Trouble(status=404)}, {OVERLAY_PATH: Trouble(status=410)}]
    ),
    # The node
    "too little RAM": Case("NB-MEMORY", FEW, meminfo=SMALL_NODE, says="the image needs 98 MB of RAM"),
    "more files than RAM can hold": Case(
        "NB-MEMORY",
        FEW,
        arguments=f"MANIFEST={MANIFEST} overlay_size=300m",
        meminfo="MemTotal: 500000 kB\nMemAvailable: 490000 kB",
        says="files 315, system 96); 384 of 512 MB can be had",
    ),
    "more files than overlay_size": Case(
        "booted",
        QUICK,
        arguments=f"MANIFEST={MANIFEST} overlay_size=2m",
        check="! dd if=/dev/zero of=/newroot/full bs=1M count=3 2>/dev/null && rm /newroot/full && touch /newroot/x",
    ),
    "overlay_size that is no size": Case("NB-ARGUMENT", FEW, arguments=f"MANIFEST={MANIFEST} overlay_size=lots"),
    "zram": Case("booted", QUICK, arguments=f"MANIFEST={MANIFEST} nb.zram=50%", says="by zram)"),
    "zram that the kernel lacks": Case(
        "NB-MODULE", FEW, arguments=f"MANIFEST={MANIFEST} nb.zram=50% no_zram", says="does not take `zram`"
    ),
    "arguments with quotes and odd characters": Case(
        "booted",
        QUICK,
        arguments=f"""x="y MANIFEST=/no" $(reboot) `reboot` * ? 'a ;& | "MANIFEST={MANIFEST}" \\ quiet""",
    ),
    "nb.onfail that nobody knows": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=dance"),
    "nb.onfail=shell": Case("NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=shell", says="a shell"),
    "nb.onfail=reboot:1": Case(
        "NB-NOT-FOUND", FEW, arguments="MANIFEST=/no nb.onfail=reboot:1", says="the node restarts in 1 s"
    ),
    "nb.onfail=retry boots in the end": Case(
        "booted",
        LONG,
        servers=[{OVERLAY_PATH: Trouble(ONCE, status=404)}],
        arguments=f"MANIFEST={MANIFEST} nb.onfail=retry",
        says="error=NB-NOT-FOUND",
    ),
}
