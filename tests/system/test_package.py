"""What is handed out: the wheel, the pinned requirements, and the README's words for a newcomer."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.servers import EACH_VERSION, promtool
from tests.support import ROOT, code_block, need


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, ROOT], check=True
    )
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_module_the_pages_templates_and_nothing_else(
    wheel: zipfile.ZipFile,
) -> None:
    package, templates = ROOT / "exporter", ROOT / "exporter" / "status" / "templates"
    wanted = {str(path.relative_to(ROOT)) for path in package.rglob("*.py")}
    wanted |= {str(path.relative_to(ROOT)) for path in templates.iterdir()}
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == wanted


def test_the_wheel_holds_the_licence_and_starts_the_program(wheel: zipfile.ZipFile) -> None:
    def read(end: str) -> str:
        (name,) = (name for name in wheel.namelist() if name.endswith(end))
        return wheel.read(name).decode()

    assert read(".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert "helpscout-exporter = exporter.cli:main" in read(".dist-info/entry_points.txt")
    metadata = read(".dist-info/METADATA")
    assert "License-Expression: Apache-2.0" in metadata
    assert "# Help Scout exporter" in metadata


@pytest.mark.parametrize("path", sorted(ROOT.glob("requirements*.txt")), ids=lambda p: p.name)
def test_requirements_are_pinned_with_hashes_and_name_no_index(path: Path) -> None:
    text = path.read_text()
    packages = re.findall(r"^[a-z0-9].*", text, re.MULTILINE | re.IGNORECASE)
    assert packages
    assert all(re.match(r"[\w.\[\]-]+==\S+( ; .+)? \\$", package) for package in packages)
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", text)) >= len(packages)
    assert "://" not in text


def test_ci_runs_the_readmes_test_command_and_no_more() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "exec make test"]


@EACH_VERSION
def test_prometheus_accepts_the_readmes_scrape_configuration(version: str, tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text(code_block("scrape-config"))
    code, said = promtool("check", "config", config, version=version)
    assert code == 0, said
    assert "SUCCESS" in said


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_the_readme_shows_both_commands(command: str) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert any(line.startswith(command) for block in blocks for line in block.splitlines())


def test_the_readme_names_every_command_that_there_is(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "exporter", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    commands = re.findall(r"^  ([a-z]+)  ", shown.partition("Commands:")[2], re.MULTILINE)
    named = re.findall(r"^\| `([a-z]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(commands)


@pytest.mark.parametrize(
    ("version", "script"), [("installed", "debian-packages"), ("newer", "newer-programs")]
)
def test_a_missing_program_is_a_failure_in_ci_and_a_skip_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, script: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    missing = rf"promtool \({version}\) is missing: run scripts/{script}"
    with pytest.raises(pytest.fail.Exception, match=missing):
        need("promtool", version)
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="is not here"):
        need("promtool", version)
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(pytest.fail.Exception, match=missing):
        need("promtool", version)


def test_every_package_that_is_imported_is_declared() -> None:
    declared = {
        re.split(r"[^\w.-]", requirement)[0].lower().replace("_", "-")
        for requirement in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
            "dependencies"
        ]
    }
    imported = set()
    for path in (ROOT / "exporter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    distributions = importlib.metadata.packages_distributions()
    foreign = imported - sys.stdlib_module_names - {"exporter"}
    packages = {distributions.get(name, [name])[0].lower().replace("_", "-") for name in foreign}
    assert packages - declared == set()
