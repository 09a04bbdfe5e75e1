"""The lock alone decides what is installed: a release of tomorrow changes nothing.

`make` itself sets environments up here, from made-up wheels in a folder and without the network.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import ROOT

BACKEND = """
from pathlib import Path
from zipfile import ZipFile
def build_editable(folder, *_):
    metadata = "Metadata-Version: 2.1\\nName: ours\\nVersion: 1\\n"
    wheel = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    with ZipFile(Path(folder) / "ours-1-py3-none-any.whl", "w") as file:
        file.writestr("ours-1.dist-info/METADATA", metadata)
        file.writestr("ours-1.dist-info/WHEEL", wheel)
        file.writestr("ours-1.dist-info/RECORD", "")
    return "ours-1-py3-none-any.whl"
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "building"\nbackend-path = ["."]\n'
INSTALLS = re.compile(r"(?:\bpip3?[ ]+(?:install|wheel)\b|\$\(PIP\))[^&|;\n]*")


def make_wheel(folder: Path, name: str, version: str, *metadata: str) -> str:
    """Write a wheel without modules; return its line in a lock."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    lines = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata)
    files = {
        f"{info}/METADATA": "\n".join(lines) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in files.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode()
            record += f"{file},sha256={digest.rstrip('=')},{len(text)}\n"
            wheel.writestr(file, text)
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project under our Makefile whose lock wants a package with an extra, and newer ones."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    extra = ("Provides-Extra: fast", 'Requires-Dist: c; extra == "fast"')
    a, c = make_wheel(wheels, "a", "1.0", *extra), make_wheel(wheels, "c", "1.0")
    b = make_wheel(wheels, "b", "1.0", "Requires-Dist: a[fast]>=1.0", "Requires-Dist: c")
    d = make_wheel(wheels, "d", "1.0", "Requires-Dist: e[fast]>=1.0")
    e = make_wheel(wheels, "e", "1.0", *extra)
    for name in "abcde":
        make_wheel(wheels, name, "2.0", *extra)
    (tmp_path / "requirements.txt").write_text(b + a)
    (tmp_path / "requirements-build.txt").write_text(c)
    (tmp_path / "requirements-dev.txt").write_text(d + e)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "building").with_suffix(".py").write_text(BACKEND)
    (tmp_path / "exporter").mkdir()
    (tmp_path / "exporter" / "__init__.py").touch()
    shutil.copy(ROOT / "Makefile", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment as the Makefile makes it, in which nothing is installed yet."""
    folder = tmp_path_factory.mktemp("environment") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.fixture
def begun(project: Path, environment: Path) -> Path:
    """The project with a copy of the environment: to make one takes seconds."""
    shutil.copytree(environment, project / ".venv", symlinks=True)
    return project


def make(project: Path, target: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "MAKE", "MFLAGS"))}
    environ = kept | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project / "wheels")}
    return subprocess.run(
        ["make", f"PYTHON={sys.executable}", target],
        cwd=project,
        env=environ | {"PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(project: Path) -> set[str]:
    found = project.glob(".venv/lib/python*/site-packages/*.dist-info")
    return {path.name.removesuffix(".dist-info") for path in found} & {
        f"{name}-{version}" for name in "abcde" for version in ("1.0", "2.0")
    }


def test_what_is_pinned_is_installed_where_newer_ones_can_be_found(project: Path) -> None:
    done = make(project, ".venv/.dev-ready")
    assert done.returncode == 0, done.stderr
    assert installed(project) == {"a-1.0", "b-1.0", "c-1.0", "d-1.0", "e-1.0"}


def test_a_lock_that_lacks_something_is_refused_and_nothing_is_fetched_for_it(
    begun: Path,
) -> None:
    (begun / "requirements-build.txt").write_text("")
    done = make(begun, ".venv/.ready")
    assert done.returncode != 0
    assert "requires c, which is not installed" in done.stdout + done.stderr
    assert installed(begun) == {"a-1.0", "b-1.0"}
    assert not (begun / ".venv" / ".ready").exists()


def test_a_file_that_is_not_the_pinned_one_is_refused(begun: Path) -> None:
    make_wheel(begun / "wheels", "c", "1.0", "Summary: another")
    done = make(begun, ".venv/.ready")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr


def test_every_installation_in_the_tree_is_of_a_lock_or_of_a_wheel_without_its_dependencies() -> (
    None
):
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    own = str(Path(__file__).relative_to(ROOT))
    found = []
    for name in listed.splitlines():
        path = ROOT / name
        if name == own or not path.is_file() or path.suffix in (".json", ".png"):
            continue
        text = path.read_text(errors="replace").replace("\\\n", " ")
        text = re.sub(r"(?m)^PIP := .*", "", text)  # what $(PIP) stands for
        for command in INSTALLS.findall(text):
            found.append(name)
            assert "--no-deps" in command, (name, command)
            if re.search(r"\s(-r|--requirement)\b", command):
                assert "--require-hashes" in command, (name, command)
            else:  # this project itself, built by what is locked
                ours = ("--no-index", "--no-build-isolation", "--wheel-dir")
                assert any(option in command for option in ours), (name, command)
    assert {"Makefile", "Dockerfile", "scripts/uv"} <= set(found)
