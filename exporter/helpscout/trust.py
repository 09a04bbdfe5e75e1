"""Which certificate authorities are trusted: an account's own, the environment's, or the usual.

The first of these decides (docs/network.md#certificate-authorities): the account's `ca_file`;
REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE; SSL_CERT_FILE and SSL_CERT_DIR as Go programs read them; the
authorities that are part of the program.
"""

import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context

# Go's, for SSL_CERT_FILE without SSL_CERT_DIR.
_SYSTEM_DIRECTORIES: Final = "/etc/ssl/certs:/etc/pki/tls/certs"


@dataclass(frozen=True, slots=True)
class Trust:
    """Where the authorities are. `key` is what names `file`: a key or a variable."""

    key: str
    file: Path
    directories: tuple[Path, ...] = ()

    @classmethod
    def of(cls, ca_file: Path | None, environ: Mapping[str, str]) -> Self:
        """Return what an account's `ca_file` or, for lack of that, the environment says."""
        if ca_file:
            return cls("ca_file", ca_file)
        given = {name: value.strip() for name, value in environ.items()}
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            if bundle := given.get(name):
                return cls(name, Path(bundle))
        file, directories = given.get("SSL_CERT_FILE"), given.get("SSL_CERT_DIR")
        if file and not directories:
            directories = _SYSTEM_DIRECTORIES
        listed = tuple(Path(each) for each in (directories or "").split(":") if each)
        return cls("SSL_CERT_FILE", Path(file or DEFAULT_CA_BUNDLE_PATH), listed)

    def context(self) -> ssl.SSLContext:
        """Return a context that trusts them. Raises ValueError that names the key and the file."""
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
        if self.file.is_dir():  # as `requests` takes it for its own variable
            _load_each(context, self.file)
        else:
            try:
                context.load_verify_locations(cafile=self.file)
            except ssl.SSLError:
                text = "holds no certificates in PEM form, or a damaged one"
                raise ValueError(f"{self.key}: {self.file} {text}") from None
            except OSError as error:
                raise ValueError(f"{self.key}: {self.file}: {error.strerror}") from None
        for directory in self.directories:
            _load_each(context, directory)
        return context


def _load_each(context: ssl.SSLContext, directory: Path) -> None:
    """Load what is a certificate, as Go does; a directory that is not there holds none."""
    files: Iterable[Path] = ()
    with suppress(OSError):
        files = sorted(directory.iterdir())
    for file in files:
        with suppress(OSError):  # SSLError is one
            context.load_verify_locations(cafile=file)
