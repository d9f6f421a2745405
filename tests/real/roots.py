"""Debian roots with a Dovecot 2.4 each; the package this machine has stays as it is.

A root is made with debootstrap, from the mirror that apt is configured with here, and kept in the directory that
ORCHESTRATOR_DOVECOT24_ROOTS names, or in ~/.cache/orchestrator. Whatever is mounted while it is made is mounted in a
namespace that ends with its making, so nothing can be left mounted.

As a program (`python -m tests.real.roots`) it makes those that are missing, and those that are out of date.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.ring.api import RingError
from tests.ring.fixtures import REQUIRE

WANTED = "ORCHESTRATOR_DOVECOT24"
PLACE = "ORCHESTRATOR_DOVECOT24_ROOTS"
PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-flatcurve")
BUILD_TIMEOUT = 1800.0
LISTS = Path(__file__).parents[1] / "data"

# All that happens in a namespace of mounts. Services must not be started by the installation of their packages. What
# apt needs here to reach its mirror (a proxy, a login, an authority of certificates) it needs there as well.
BUILD = r"""
set -e
suite=$1 mirror=$2 root=$3 settings=$4; shift 4
debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
printf '%s' "$settings" > "$root/etc/apt/apt.conf.d/99host"
for file in /etc/apt/auth.conf /etc/apt/auth.conf.d/*.conf; do
  if [ -e "$file" ]; then cp "$file" "$root/etc/apt/auth.conf.d/"; fi
done
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot "$root" apt-get -q -y --no-install-recommends install "$@"
chroot "$root" apt-get clean
rm -f "$root"/etc/apt/auth.conf.d/*
"""
APT_SETTINGS = re.compile(r"^Acquire::(?:https?|ftp|Check-)", re.IGNORECASE)


@dataclass(frozen=True)
class Suite:
    """A release of Debian.

    Attributes:
        name: "trixie".
        moves: what it has changes from day to day, and on some days it cannot be installed: then it is done without.
    """

    name: str
    moves: bool = False

    @property
    def root(self) -> Path:
        """Where its root is, or is to be."""
        return Path(os.environ.get(PLACE) or Path.home() / ".cache" / "orchestrator") / self.name

    @property
    def ready(self) -> Path:
        """The file with Dovecot's version; a root without it was not finished."""
        return self.root / "orchestrator.ready"

    @property
    def version(self) -> str:
        """What its Dovecot says it is, such as "2.4.1"; empty as long as there is no root."""
        try:
            return self.ready.read_text().split()[0].partition("-")[0]
        except (OSError, IndexError):
            return ""

    @property
    def known(self) -> bool:
        """Whether that version's lists of commands are among those that the catalogue is held to."""
        return (LISTS / f"catalog-{self.version}-backend.json").exists()

    @property
    def trouble(self) -> str:
        """Why its root could not be made the last time, or empty."""
        try:
            return self._trouble.read_text()
        except OSError:
            return ""

    @property
    def _trouble(self) -> Path:
        return self.root.with_name(f"{self.name}.trouble")

    @contextlib.contextmanager
    def held(self) -> Iterator[Path]:
        """Its root, made when it is not there, and not made again for as long as this lasts.

        Raises:
            RingError: it cannot be made; says why.
        """
        with self._lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # waits while somebody makes it
            if not self.version:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self.version:
                    self._refuse_what_just_failed()
                    self._make()
                fcntl.flock(lock, fcntl.LOCK_SH)
            yield self.root.resolve()

    def _refuse_what_just_failed(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - self._trouble.stat().st_mtime < AGAIN:  # another process of this run has tried
                raise RingError(f"no root of Debian {self.name}: {self.trouble}")

    def renew(self) -> None:
        """Make its root when there is none; and when it is out of date, unless somebody uses it.

        Raises:
            RingError: it cannot be made, and there is no older one; says why.
        """
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if not self.version:
                self._make()
            elif self.moves and time.time() - self.ready.stat().st_mtime > KEPT:
                with contextlib.suppress(RingError):  # the older one will do; the summary tells
                    self._make()

    def _lock(self) -> IO[str]:
        self.root.parent.mkdir(parents=True, exist_ok=True)
        return self.root.with_name(f"{self.name}.lock").open("w")

    def _make(self) -> None:
        try:
            self._build()
        except (RingError, subprocess.TimeoutExpired) as error:
            self._trouble.write_text(str(error))
            raise RingError(f"no root of Debian {self.name}: {error}") from None
        self._trouble.unlink(missing_ok=True)

    def _build(self) -> None:
        if shutil.which("debootstrap") is None:
            _run("apt-get", "-q", "-y", "--no-install-recommends", "install", "debootstrap")
        new = self.root.with_name(f"{self.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        settings = apt_settings()
        script = ["sh", "-c", BUILD, "sh", self.name, mirror(), str(new), settings, *PACKAGES]
        _run("unshare", "--mount", "--propagation", "private", *script, environment=proxies(settings))
        (new / self.ready.name).write_text(_run("chroot", str(new), "dovecot", "--version"))
        shutil.rmtree(self.root, ignore_errors=True)
        new.rename(self.root)


KEPT = 7 * 24 * 3600.0  # seconds that a root of a suite that moves is used
AGAIN = 3600.0  # seconds after which tests try again to make a root
TRIXIE, SID = Suite("trixie"), Suite("sid", moves=True)
SUITES = (TRIXIE, SID)


def wanted() -> bool:
    """Whether Dovecot 2.4 is asked for, by the developer or by a build that promises it."""
    return os.environ.get(WANTED) == "1" or os.environ.get(REQUIRE) == "1"


@functools.cache
def unavailable() -> str | None:
    """Why no 2.4 server can be run here, or None when one can."""
    if not wanted():
        return f"{WANTED}=1 asks for it: Debian roots of about 300 MB are made once, and Dovecot 2.4 runs in them"
    if not sys.platform.startswith("linux"):
        return "it needs Linux: a root of its own, and all of 127.0.0.0/8 as loopback"
    if os.geteuid() != 0:
        return "it needs root: chroot and mail users"
    return None


def mirror() -> str:
    """The Debian mirror that apt is configured with here.

    Raises:
        RingError: there is none.
    """
    if not (found := _mirrors()):
        _run("apt-get", "-q", "update")  # without its lists apt does not know whose a mirror is
        found = _mirrors()
    if not found:
        raise RingError("apt is configured with no Debian mirror")
    return found[0]


def _mirrors() -> list[str]:
    fields = "$(ORIGIN)|$(LABEL)|$(SITE)"
    lines = _run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
    found = (line.split("|") for line in lines)
    return [site for origin, label, site in found if (origin, label) == ("Debian", "Debian")]


def apt_settings() -> str:
    """What apt is told here of reaching mirrors, as lines of a configuration file."""
    lines = _run("apt-config", "dump").splitlines(keepends=True)
    return "".join(line for line in lines if APT_SETTINGS.match(line))


def proxies(settings: str) -> Mapping[str, str]:
    """The environment in which debootstrap goes through apt's proxies, where there are any."""
    found = re.findall(r'^Acquire::(https?)::Proxy "([^"]+)"', settings, re.IGNORECASE | re.MULTILINE)
    return {f"{scheme.lower()}_proxy": url for scheme, url in found if url.upper() != "DIRECT"} | os.environ


def _run(*command: str, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT,
    )
    if done.returncode:
        tail = "\n  ".join(done.stdout.splitlines()[-20:])
        raise RingError(f"{command[0]} ended with {done.returncode}:\n  {tail}")
    return done.stdout


def summary(suites: Iterable[Suite] = SUITES) -> list[str]:
    """Which versions there are, and what is to be known of that, a line each."""
    lines = []
    for suite in suites:
        line = f"Debian {suite.name}: Dovecot {suite.version or 'none'}"
        if suite.version and not suite.known:
            line += ", which is not known here yet: its tests fail nothing; see CONTRIBUTING for making it known"
        if suite.trouble:
            line += f"; its root could not be made: {suite.trouble}"
        lines.append(line)
    return lines


def main() -> int:
    """Make the roots, side by side; 1 when one cannot be made that does not move."""
    failed = False
    with ThreadPoolExecutor() as pool:
        made = {suite: pool.submit(suite.renew) for suite in SUITES}
    for suite, future in made.items():
        failed |= isinstance(future.exception(), RingError) and not suite.moves
        if not isinstance(future.exception(), RingError | None):
            future.result()
    print(*summary(), sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
