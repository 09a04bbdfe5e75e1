"""The scripts that bring what the tests start; apt, make and other Pythons are stand-ins."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support import ROOT
from tests.system.standins import Ran, program, run

DEBIAN: Final = ROOT / "scripts/debian-packages"
NEWER: Final = ROOT / "scripts/newer-programs"


# --- debian-packages ------------------------------------------------------------------------------


@pytest.fixture
def wanted(tmp_path: Path) -> dict[str, str]:
    """Each program that the script wants, with its package; all of them are there."""
    pairs = dict(re.findall(r" ([a-z-]+):([a-z-]+)\b", DEBIAN.read_text()))
    assert {"promtool", "chromium", "curl"} <= {*pairs}
    for name in pairs:
        program(tmp_path / "bin", name)
    return pairs


@pytest.mark.parametrize("user", ["0", "1000"])
def test_only_what_is_missing_is_installed(
    tmp_path: Path, wanted: dict[str, str], user: str
) -> None:
    folder = tmp_path / "bin"
    program(folder, "apt-get")
    program(folder, "id", f"echo {user}\n")
    program(folder, "sudo", 'shift\n"$@"\n')
    done, calls = run(tmp_path, "/bin/sh", DEBIAN, path=str(folder))
    assert (done.returncode, calls) == (0, [])
    (folder / "promtool").unlink()
    done, calls = run(tmp_path, "/bin/sh", DEBIAN, "buildah:buildah", path=str(folder))
    assert done.returncode == 0, done.stderr
    installed = [call for call in calls if call.startswith("apt-get") and " install " in call]
    assert [call.split()[-2:] for call in installed] == [["prometheus", "buildah"]]
    assert any(call.startswith("sudo -n apt-get") for call in calls) == (user != "0")


def test_without_the_right_to_install_it_says_what_to_install(
    tmp_path: Path, wanted: dict[str, str]
) -> None:
    folder = tmp_path / "bin"
    (folder / "chromium").unlink()
    done, _ = run(tmp_path, "/bin/sh", DEBIAN, path=str(folder))
    assert done.returncode == 0
    assert done.stderr == "no apt-get here; for the system tests please install: chromium\n"
    program(folder, "apt-get")
    program(folder, "id", "echo 1000\n")
    program(folder, "sudo", "exit 1\n")
    done, calls = run(tmp_path, "/bin/sh", DEBIAN, path=str(folder))
    assert done.returncode == 0
    assert done.stderr.endswith("please run: sudo apt-get install chromium\n")
    assert not any(call.startswith("apt-get") for call in calls)


# --- newer-programs -------------------------------------------------------------------------------

DOWNLOADED: Final = """
case "$*" in
*download*) touch prometheus.deb ;;
*update*) [ -z "$REFUSED" ] || { echo "no such release"; exit 100; } >&2 ;;
esac
"""
UNPACKED: Final = """
case "$1" in
-x) mkdir -p "$3/usr/bin"
    for name in $BROUGHT; do echo >"$3/usr/bin/$name"; chmod 755 "$3/usr/bin/$name"; done ;;
--show) echo "prometheus 3.5" ;;
esac
"""
PROGRAMS: Final = (
    "prometheus promtool prometheus-alertmanager amtool victoria-metrics vmalert vmagent"
)


@pytest.fixture
def newer(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the script, whose apt brings these programs."""
    folder = tmp_path / "bin"
    program(folder, "apt-get", DOWNLOADED)
    program(folder, "dpkg-deb", UNPACKED)
    program(folder, "chown")
    program(
        folder, "cat", 'echo "deb http://mirror.example/debian bookworm main"; exec /bin/cat "$@"\n'
    )

    def run_it(brought: str = PROGRAMS, refused: str = "") -> Ran:
        environ = {"BROUGHT": brought, "REFUSED": refused, "XDG_CACHE_HOME": str(tmp_path)}
        path = f"{folder}:{os.environ['PATH']}"
        done, calls = run(tmp_path, "/bin/sh", NEWER, path=path, environ=environ)
        return done, [call for call in calls if call.startswith("apt-get")]

    return run_it


def test_the_newer_programs_are_unpacked_once(
    tmp_path: Path,
    newer: Callable[..., Ran],
) -> None:
    done, calls = newer()
    assert done.returncode == 0, done.stderr
    assert "the tests run prometheus 3.5" in done.stderr
    assert len(calls) == 2
    place = tmp_path / "helpscout-exporter/newer-programs/usr/bin"
    assert {path.name for path in place.iterdir()} == {*PROGRAMS.split()}
    done, calls = newer()
    assert (done.returncode, calls) == (0, [])


@pytest.mark.parametrize(
    ("brought", "refused", "says"),
    [
        (PROGRAMS, "yes", "no such release"),
        ("prometheus promtool", "", "Debian's packages have no prometheus-alertmanager"),
    ],
)
def test_where_the_newer_programs_cannot_be_had_it_says_why_and_leaves_nothing(
    tmp_path: Path,
    newer: Callable[..., Ran],
    brought: str,
    refused: str,
    says: str,
) -> None:
    done, _ = newer(brought, refused)
    assert done.returncode == 0
    assert says in done.stderr
    assert "need these programs in" in done.stderr
    assert not [path for path in (tmp_path / "helpscout-exporter").iterdir() if path.is_dir()]


# --- pythons --------------------------------------------------------------------------------------


def test_every_python_that_is_new_enough_is_tested_and_one_that_fails_is_a_failure(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bin"
    for minor, whole in ((10, True), (11, True), (12, True), (13, False)):
        said = json.dumps(
            ["cpython", [3, minor, 2, "final"], str(folder / f"python3.{minor}"), whole]
        )
        program(folder, f"python3.{minor}", f"echo '{said}'\n")
    program(
        folder,
        "make",
        """
PATH=/usr/bin:/bin
for last; do :; done
mkdir -p "${last%/*}/bin"
cat > "${last%/*}/bin/pytest" <<END
#!/bin/sh
case "$last" in *"$FAILS"*) echo "=== 1 failed, 2 passed in 3s ==="; exit 1 ;; esac
echo "=== 3 passed in 3s ==="
END
chmod 755 "${last%/*}/bin/pytest"
""",
    )

    def pythons(fails: str, *words: str) -> tuple[int, list[str], list[str]]:
        environ = {"PYTHONPATH": str(ROOT), "FAILS": fails, "PYENV_ROOT": str(tmp_path)}
        command = [sys.executable, "-m", "scripts.pythons", *words]
        done, calls = run(tmp_path, *command, path=str(folder), environ=environ)
        table = done.stdout.partition("\nPython ")[2].splitlines()[1:]
        made = [call.split()[3] for call in calls if call.startswith("make")]
        left = [line for line in done.stdout.splitlines() if "left out" in line]
        assert len(left) == 1
        return done.returncode, [" ".join(line.split()) for line in table], made

    code, table, made = pythons("nothing")
    assert code == 0
    assert [line.split()[:2] for line in table] == [["3.11.2", "passed"], ["3.12.2", "passed"]]
    assert all(line.endswith("3 passed in 3s") for line in table)
    assert {f"PYTHON={folder}/python3.11", f"PYTHON={folder}/python3.12"} <= {*made}
    code, table, _ = pythons("3.11.2")
    assert code == 1
    assert [line.split()[1] for line in table] == ["FAILED", "passed"]
    assert pythons("nothing", "3.12")[1] == [line for line in table if line.startswith("3.12")]
    assert pythons("nothing", "3.14")[0] == 1
