"""A certificate authority of a test's own, for servers that are to be reached with TLS by their address."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.engines.engine import TOOL_SECONDS

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_SETTINGS = """
[req]
distinguished_name = name
prompt = no
x509_extensions = {kind}
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class Certificate(NamedTuple):
    """Two PEM files."""

    certificate: Path
    key: Path


class Authority:
    """It lives for a day, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir()
        self.root = self._made("authority", "DNS:unused.test")

    @property
    def certificate(self) -> Path:
        """What clients are to trust."""
        return self.root.certificate

    def issue(self, name: str, *addresses: str) -> Certificate:
        """For a server of this name and these IP addresses; it may be a client's, too."""
        signed = ("-CA", str(self.root.certificate), "-CAkey", str(self.root.key))
        names = ", ".join((f"DNS:{name}", *(f"IP:{address}" for address in addresses)))
        return self._made("server", names, *signed, name=name)

    def _made(self, kind: str, names: str, *signed: str, name: str = "visionfleet tests") -> Certificate:
        stem = self.folder / (kind if kind == "authority" else name)
        settings = stem.with_suffix(".cnf")
        settings.write_text(_SETTINGS.format(kind=kind, name=name, names=names))
        made = Certificate(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        command = ["openssl", "req", "-x509", *_CURVE, "-config", str(settings), "-days", "1", *signed]
        command += ["-keyout", str(made.key), "-out", str(made.certificate)]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=TOOL_SECONDS)
        return made
