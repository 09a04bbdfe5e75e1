"""The built image without a container engine: its configuration, and its programs in a jail.

The jail is what a careful cluster makes of the image: its root file system read-only, its own user
without any capability and without a way to get one, its own variables and no others. Making it
takes root and the right to mount.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import ROOT
from tests.system.conftest import start, start_once  # noqa: F401 - fixtures

CACHE: Final = ROOT / ".image-cache"
NAME: Final = "localhost/helpscout-exporter:test"
STATE: Final = "/var/lib/helpscout-exporter"

# $1 the image's root, $2 where it is mounted, $3 what is mounted for the state, $4 and $5 the user;
# the rest is a command with its variables before it. All mounts end with the process.
_ENTER: Final = f"""set -e
mount --bind "$1" "$2"
mount -o remount,bind,ro "$2"
mount --bind /dev "$2/dev"
mount --bind /proc "$2/proc"
mount --bind "$3" "$2{STATE}"
root=$2 user=$4 group=$5
shift 5
exec unshare --root="$root" --wd=/ --setgid="$group" --setuid="$user" /usr/bin/env -i "$@"
"""


def buildah(*arguments: str) -> str:
    """Run buildah on the storage of scripts/image; return what it prints."""
    storage = ["--root", str(CACHE / "storage"), "--runroot", str(CACHE / "run")]
    environ = {"STORAGE_DRIVER": "overlay", **os.environ}
    done = subprocess.run(
        ["buildah", *storage, *arguments], capture_output=True, text=True, check=True, env=environ
    )
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: where its files are, and its configuration as Docker has it."""

    files: Path
    config: Mapping[str, Any]

    @property
    def user(self) -> tuple[str, str]:
        """The numbers of its user and group."""
        user, _, group = self.config["User"].partition(":")
        return user, group

    def command(
        self, folder: Path, *command: str, environ: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Return what runs a command in the image, its state in a folder of its user's own."""
        state, root = folder / "state", folder / "root"
        for path in (state, root):
            path.mkdir(exist_ok=True)
        user, group = map(int, self.user)
        os.chown(state, user, group)
        variables = [*self.config["Env"], *(f"{k}={v}" for k, v in (environ or {}).items())]
        places = [str(self.files), str(root), str(state), str(user), str(group)]
        # What it takes to get in; an ordinary user keeps none of it.
        kept = "-all,+sys_admin,+sys_chroot,+setuid,+setgid"
        jail = ["setpriv", "--no-new-privs", "--bounding-set", kept]
        enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", _ENTER, "enter"]
        return (*jail, *enter, *places, *variables, *command)

    def run(
        self, folder: Path, *command: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the image to its end."""
        return subprocess.run(
            self.command(folder, *command, environ=environ),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture(scope="session")
def image() -> Iterator[Image]:
    """The image that `make image` has built; without that target's word for it, a skip."""
    if not os.environ.get("IMAGE"):
        pytest.skip("make image builds the image and runs these tests")
    assert os.environ["IMAGE"] == NAME
    config = json.loads(buildah("inspect", "--type", "image", NAME))["Docker"]["config"]
    container = buildah("from", "--pull-never", NAME)
    try:
        yield Image(Path(buildah("mount", container)), config)
    finally:
        buildah("umount", container)
        buildah("rm", container)
