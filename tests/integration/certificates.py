"""A certificate authority as an operator makes one with openssl, and certificates of it."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

_CONFIG = """
[ca]
default_ca = mail
[mail]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = anything
unique_subject = no
copy_extensions = copy
[anything]
commonName = supplied
"""


class Authority:
    """A CA made by `openssl req -x509`, without a key usage: the plain one that nearly everybody has.

    Args:
        folder: where its files are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "ca.conf").write_text(_CONFIG.format(folder=folder))
        self._openssl("req", "-x509", *self._key("ca"), "-days", "30", "-subj", "/CN=Mail CA", "-out", str(self.file))

    def issue(
        self, name: str, *, subject: str = "/CN=host", names: str = "IP:127.0.0.1", days: tuple[int, int] = (-2, 2)
    ) -> Path:
        """A certificate and its key beside it.

        Args:
            name: of the files.
            subject: such as "/CN=mail.example.org".
            names: for which it holds, as openssl writes subjectAltName; empty for none.
            days: from when to when it is valid, from today on.
        """
        words = ["-addext", f"subjectAltName={names}"] if names else []
        request, certificate = self.folder / f"{name}.csr", self.folder / f"{name}.pem"
        self._openssl("req", "-new", *self._key(name), "-subj", subject, *words, "-out", str(request))
        begin, end = ((datetime.now(UTC) + timedelta(days=day)).strftime("%Y%m%d%H%M%SZ") for day in days)
        self._openssl(
            *("ca", "-batch", "-notext", "-config", str(self.folder / "ca.conf")),
            *("-startdate", begin, "-enddate", end, "-in", str(request), "-out", str(certificate)),
        )
        return certificate

    def server(self, name: str = "server", **issued: object) -> ssl.SSLContext:
        """A server's side of TLS, with a certificate that is issued for it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = self.folder / f"{name}.pem"
        if issued or not certificate.exists():
            self.issue(name, **issued)  # type: ignore[arg-type]
        context.load_cert_chain(certificate, self.folder / f"{name}.key")
        return context

    def _key(self, name: str) -> list[str]:
        return ["-newkey", "rsa:2048", "-nodes", "-keyout", str(self.folder / f"{name}.key")]

    @staticmethod
    def _openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)
