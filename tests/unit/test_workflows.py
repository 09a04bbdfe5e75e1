"""What GitHub is told to do: the checks of this checkout, and a release that matches it."""

import re
import tomllib
from typing import Any

import pytest

from exporter import __version__
from tests.support import ROOT, read_yaml

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
STARTS = True
"""What YAML 1.1 takes the key `on` for."""
RIGHTS = {
    "gh release create": {"contents"},
    "docker login ghcr.io": {"packages"},
    "actions/attest-build-provenance@": {"id-token", "attestations"},
}
"""What a step has to be allowed to write."""
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
    assert "unit" in commands(found["pythons"]).split()


def test_every_change_is_checked_and_a_version_tag_alone_is_a_release() -> None:
    checked = read_yaml(ROOT / ".github/workflows/ci.yml")[STARTS]
    assert {*checked} == {"push", "pull_request", "workflow_call"}
    released = read_yaml(ROOT / ".github/workflows/release.yml")[STARTS]
    assert {*released} == {"push"}
    assert {*released["push"]} == {"tags"}
    (pattern,) = released["push"]["tags"]  # like a regular expression, but that a dot is a dot
    version = f"v{__version__}"
    tags = (version, "v10.20.30", f"{version}-rc1", "v1", "latest", f"chart-{version}")
    of_a_release = [tag for tag in tags if re.fullmatch(pattern.replace(".", r"\."), tag)]
    assert of_a_release == [version, "v10.20.30"]


def test_a_release_may_write_what_its_steps_write_and_no_more() -> None:
    publish = jobs("release")["publish"]
    steps = "\n".join(step.get("run", "") + step.get("uses", "") for step in publish["steps"])
    needed = {right for words, of_it in RIGHTS.items() if words in steps for right in of_it}
    assert publish["permissions"] == dict.fromkeys(needed, "write")


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
