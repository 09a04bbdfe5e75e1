"""The steps of a release run as on GitHub's runner, but for the programs that publish something.

Those (docker, helm, gh) are stand-ins that write down how they were called.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from exporter import REPOSITORY, __version__
from scripts import repository
from tests.support import ROOT, environment, need, read_yaml

SLUG: Final = REPOSITORY.removeprefix(repository.HOST)
IMAGE: Final = repository.image()
BASE: Final = f"sha256:{'b' * 64}"
BUILT: Final = f"sha256:{'a' * 64}"
CREATED: Final = "2026-03-11T14:30:00+00:00"

_NOTED: Final = 'printf "%s\\n" "$(basename "$0") $(printf "%q " "$@")" >> "$CALLS"\n'
# A registry takes nothing from a program that has not logged in to it.
_REGISTRY: Final = """
logged_in_to() { cat >/dev/null; touch "$CALLS.$(basename "$0").$1"; }
pushed_to() { test -e "$CALLS.$(basename "$0").${1%%/*}"; }
"""
PROGRAMS: Final = {
    "docker": f"""{_NOTED}{_REGISTRY}
case "$*" in
*imagetools*) echo {BASE} ;;
*"build ."*) while [ "$1" != --metadata-file ]; do
        [ "$1" != --tag ] || pushed_to "$2"
        shift
    done
    echo '{{"containerimage.digest": "{BUILT}"}}' > "$2" ;;
login*) logged_in_to "$2" ;;
esac
""",
    "helm": f"""{_NOTED}{_REGISTRY}
case "$1" in
package) touch "$4/$(basename "$2")-$(sed -n 's/^version: //p' "$2/Chart.yaml").tgz" ;;
registry) logged_in_to "$3" ;;
push) pushed_to "${{3#oci://}}" ;;
esac
""",
    "gh": f"""{_NOTED}
while [ "$1" != --notes-file ]; do shift; done
cp "$2" "$CALLS.notes"
""",
    # The locked tools are installed already, in this environment.
    "python": f"""
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && ln -s /bin/true "$3/bin/pip"
else exec {shlex.quote(sys.executable)} "$@"; fi
""",
    "make": f"""{_NOTED}
mkdir -p .venv/bin && cp "$(dirname "$0")/python" .venv/bin/python
""",
}


@dataclass
class Runner:
    """A runner with a checkout; `run` runs the steps of a job, up to the end or one that fails."""

    folder: Path
    tag: str = f"v{__version__}"
    slug: str = SLUG
    outputs: dict[str, str] = field(default_factory=dict)
    """By `step.name`."""

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def calls(self) -> list[str]:
        """The command lines of the stand-ins."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, workflow: str, job: str) -> subprocess.CompletedProcess[str]:
        content = read_yaml(ROOT / f".github/workflows/{workflow}.yml")
        given = content["jobs"][job]
        assert given["defaults"]["run"]["shell"] == "bash"
        environ = self._environ() | given.get("env", {})
        for number, step in enumerate(each for each in given["steps"] if "run" in each):
            said = {name: self.folder / f"{name}-{number}" for name in ("OUTPUT", "ENV")}
            files = {f"GITHUB_{name}": str(path) for name, path in said.items()}
            own = {name: self._filled(text) for name, text in step.get("env", {}).items()}
            script = self.folder / f"step-{number}.sh"
            script.write_text(self._filled(step["run"]))
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
                cwd=self.checkout, env=environ | own | files, capture_output=True, text=True,
            )  # fmt: skip
            if done.returncode:
                return done
            outputs = _pairs(said["OUTPUT"])
            self.outputs |= {f"{step.get('id')}.{name}": value for name, value in outputs}
            environ |= dict(_pairs(said["ENV"]))
        return done

    def given(self, workflow: str, job: str, action: str) -> list[dict[str, Any]]:
        """Return what each use of an action is given after the steps that ran."""
        content = read_yaml(ROOT / f".github/workflows/{workflow}.yml")
        return [
            {k: self._filled(v) if isinstance(v, str) else v for k, v in step["with"].items()}
            for step in content["jobs"][job]["steps"]
            if step.get("uses", "").startswith(f"{action}@")
        ]

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in environment().items() if not k.startswith("GITHUB_")}
        return kept | {
            "PATH": f"{self.folder / 'bin'}:{kept['PATH']}",
            "CALLS": str(self.folder / "calls"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_REF_NAME": self.tag,
            "GITHUB_REPOSITORY": self.slug,
            "GITHUB_REPOSITORY_OWNER": self.slug.partition("/")[0],
            "GITHUB_ACTOR": "somebody",
            "GITHUB_SHA": "c" * 40,
        }

    def _filled(self, text: str) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] == "secrets.GITHUB_TOKEN":
                return "a-token"
            step, outputs, name = found[1].removeprefix("steps.").split(".")
            assert outputs == "outputs"
            return self.outputs[f"{step}.{name}"]

        return re.sub(r"\$\{\{ (.+?) \}\}", value, text)


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines() if path.exists() else ():
        name, _, value = line.partition("=")
        yield name, value


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    for name in ("bin", "temp", "checkout"):
        (tmp_path / name).mkdir()
    for name, text in PROGRAMS.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/bash\nset -e\n{text}")
        path.chmod(0o755)
    found = Runner(tmp_path)
    for path in repository.tracked(ROOT):
        copy = found.checkout / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    dates = {"GIT_COMMITTER_DATE": CREATED, "GIT_AUTHOR_DATE": CREATED}
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all of it"]):
        subprocess.run(
            [need("git"), *words], cwd=found.checkout, check=True, env=os.environ | dates
        )
    return found


def test_a_tag_becomes_a_wheel_an_image_a_chart_and_a_release(runner: Runner) -> None:
    done = runner.run("release", "publish")
    assert done.returncode == 0, done.stdout + done.stderr
    assert runner.outputs == {
        "release.version": __version__,
        "release.image": IMAGE,
        "release.created": CREATED,
        "image.digest": BUILT,
    }
    dist = runner.checkout / "dist"
    chart = f"helpscout-exporter-{__version__}.tgz"
    stem = f"helpscout_exporter-{__version__}"
    files = [chart, f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"]
    assert sorted(path.name for path in dist.iterdir()) == files
    with zipfile.ZipFile(dist / files[1]) as wheel:
        assert "exporter/cli/app.py" in wheel.namelist()
    with tarfile.open(dist / files[2]) as source:
        names = source.getnames()
        assert f"{stem}/helm/helpscout-exporter/Chart.yaml" in names
        assert not [name for name in names if "/.venv" in name]
    calls = "\n".join(runner.calls)
    for words in (
        "docker buildx imagetools inspect docker.io/library/python:",
        "docker buildx build . --push --platform linux/amd64",
        f"--tag {IMAGE}:{__version__} ",
        f"@{BASE} --build-arg VERSION={__version__} --build-arg REVISION={'c' * 40} ",
        f"--label org.opencontainers.image.created={CREATED} ",
        f"helm lint --strict {runner.folder}/temp/chart/helpscout-exporter ",
        f"helm push dist/{chart} oci://ghcr.io/{SLUG.partition('/')[0].lower()}/charts ",
        f"gh release create v{__version__} dist/{chart} dist/{files[1]} dist/{files[2]} ",
    ):
        assert words in calls
    assert "a-token" not in calls
    released = runner.folder / "temp/chart/helpscout-exporter/values.yaml"
    assert read_yaml(released)["image"]["repository"] == IMAGE
    notes = (runner.folder / "calls.notes").read_text()
    assert "### Added" in notes
    assert notes.count("\n## [") == 0
    assert f"\nImage: `{IMAGE}:{__version__}@{BUILT}`, on `docker.io/library/python:" in notes
    assert f"/charts/helpscout-exporter`, version {__version__}.\n" in notes
    of_files, of_image = runner.given("release", "publish", "actions/attest-build-provenance")
    signed = runner.checkout.glob(of_files["subject-path"])
    assert sorted(path.name for path in signed) == files
    assert of_image == {
        "subject-name": IMAGE,
        "subject-digest": BUILT,
        "push-to-registry": True,
    }


def _changed(runner: Runner, name: str, old: str, new: str) -> None:
    path = runner.checkout / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_tag_of_another_version_is_refused(runner: Runner) -> None:
    runner.tag = "v9.9.9"
    done = runner.run("release", "publish")
    assert done.returncode == 1
    assert (
        f"::error::the tag is v9.9.9, but __version__ in exporter/__init__.py is {__version__}"
        in done.stdout
    )
    assert runner.calls == []


CHART: Final = "helm/helpscout-exporter/Chart.yaml"


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        (CHART, f"\nversion: {__version__}\n", "\nversion: 9.9.9\n",
         f"{CHART} has no line version: {__version__}"),
        (CHART, f'\nappVersion: "{__version__}"\n', '\nappVersion: "9.9.9"\n',
         f'{CHART} has no line appVersion: "{__version__}"'),
        ("CHANGELOG.md", f"## [{__version__}]\n", f"## [{__version__}]\n\n## [0.0.1]\n",
         f"CHANGELOG.md has nothing under ## [{__version__}]"),
        ("CHANGELOG.md", f"## [{__version__}]", "## [9.9.9]",
         f"CHANGELOG.md has nothing under ## [{__version__}]"),
    ],
)  # fmt: skip
def test_a_release_that_does_not_agree_with_itself_is_refused(
    runner: Runner, name: str, old: str, new: str, says: str
) -> None:
    _changed(runner, name, old, new)
    done = runner.run("release", "publish")
    assert done.returncode == 1
    assert f"::error::{says}" in done.stdout
    assert runner.calls == []


def test_a_release_of_a_copy_elsewhere_is_refused(runner: Runner) -> None:
    runner.slug = "someone/elsewhere"
    done = runner.run("release", "publish")
    assert done.returncode == 1
    assert f"the project's address is {REPOSITORY}, this is someone/elsewhere" in done.stderr
    assert runner.calls == []
