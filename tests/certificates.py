"""A certificate authority of a test's own, and a server that it vouches for."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


def make_certificates(folder: Path, name: str = "IP:127.0.0.1", days: int = 2) -> Path:
    """An authority, `ca.pem`, and the key and certificate of a server called `name`, `server.pem`; returns `folder`.

    With `days` -1 that of the server ended yesterday.
    """
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = ["req", *key, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"]
    names = ["-addext", f"subjectAltName={name}", "-addext", "basicConstraints=CA:FALSE"]
    request = ["req", *key, "-subj", "/CN=server", *names, "-keyout", "server.key", "-out", "server.csr"]
    sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", str(days)]
    for argv in (ca, request, [*sign, "-copy_extensions", "copyall", "-out", "server.crt"]):
        subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
    (folder / "server.pem").write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    return folder


def server_context(folder: Path) -> ssl.SSLContext:
    """For a server that shows the certificate of `folder`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
