"""What GitHub is told to do: the checks of this checkout, and a release that matches it."""

import re
import tomllib
from typing import Any

import pytest

from tests.support import ROOT, read_yaml

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
EVERY = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: str(path.stem))


def jobs(name: str) -> dict[str, Any]:
    """Return the jobs of a workflow."""
    found: dict[str, Any] = read_yaml(ROOT / f".github/workflows/{name}.yml")
    return found["jobs"]  # type: ignore[no-any-return]


def commands(job: dict[str, Any]) -> str:
    """Return all that a job runs."""
    return "\n".join(step["run"] for step in job["steps"] if "run" in step)


@EVERY
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Any) -> None:
    used = re.findall(r"uses: (.+)", path.read_text())
    assert used
    for action in used:
        assert re.fullmatch(r"\./\S+|[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action)


@EVERY
def test_a_workflow_may_only_read_unless_a_job_says_otherwise(path: Any) -> None:
    assert read_yaml(path)["permissions"] == {"contents": "read"}


def test_ci_runs_the_one_command_and_every_python_that_is_promised() -> None:
    found = jobs("ci")
    assert ".ci/run" in commands(found["everything"]).splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = [
        each.removeprefix("Programming Language :: Python :: ")
        for each in project["classifiers"]
        if re.fullmatch(r".*:: 3\.\d+", each)
    ]
    assert found["pythons"]["strategy"]["matrix"]["python"] == versions


def test_a_release_is_tested_and_agrees_with_the_program_and_the_repository() -> None:
    found = jobs("release")
    assert found["test"]["uses"] == "./.github/workflows/ci.yml"
    publish = found["publish"]
    assert publish["needs"] == "test"
    first = publish["steps"][2]["run"]
    assert 'scripts.repository --check "$GITHUB_REPOSITORY"' in first
    assert "exporter.__version__" in first
    assert "CHANGELOG.md" in first


def test_a_release_labels_image_and_base_by_digest_with_a_bill_of_materials() -> None:
    run = commands(jobs("release")["publish"])
    for part in (
        "--sbom=true",
        "--provenance=mode=max",
        "org.opencontainers.image.created=$CREATED",
        "org.opencontainers.image.base.name=$BASE",
        "org.opencontainers.image.base.digest=$base",
        'BASE_IMAGE=$BASE@$base"',
    ):
        assert part in run
    (base,) = re.findall(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert jobs("release")["publish"]["env"]["BASE"] == f"docker.io/library/{base}"
