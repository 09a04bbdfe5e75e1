"""The built image: what is in it, what it says of itself, and that it runs without any rights."""

import signal
import stat
import subprocess
from pathlib import Path

import pytest

from exporter import REPOSITORY, __version__
from tests.image.conftest import Image
from tests.support import MISSION, ROOT, Metrics, eventually, scrape
from tests.system.conftest import Desk, Start, address, running_desk  # noqa: F401 - a fixture

OURS = "org.opencontainers.image."
COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "tcc", "rustc", "go", "ld", "as", "make")


def revision() -> str:
    """Return the commit of this checkout, as scripts/image gives it to the build."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"


def created() -> dict[str, str]:
    """Return the label with this commit's time, as scripts/image gives it to the build."""
    done = subprocess.run(
        ["git", "log", "-1", "--format=%cI"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {f"{OURS}created": done.stdout.strip()} if done.returncode == 0 else {}


def test_it_is_labelled_as_the_open_containers_initiative_has_it(image: Image) -> None:
    labels = {k: v for k, v in image.config["Labels"].items() if k.startswith(OURS)}
    assert labels == {
        f"{OURS}title": "helpscout-exporter",
        f"{OURS}description": "Prometheus exporter for Help Scout: queues and response times",
        f"{OURS}licenses": "Apache-2.0",
        f"{OURS}version": __version__,
        f"{OURS}revision": revision(),
        f"{OURS}source": REPOSITORY,
        f"{OURS}url": REPOSITORY,
        f"{OURS}documentation": f"{REPOSITORY}/tree/main/docs",
        **created(),
    }


def test_its_user_is_a_number_and_not_root(image: Image) -> None:
    assert all(part.isdigit() and int(part) > 0 for part in image.user)
    passwd = (image.files / "etc/passwd").read_text()
    assert f":{image.user[0]}:" not in passwd


def test_it_serves_by_default_and_asks_itself_for_its_health(image: Image) -> None:
    assert image.config["Entrypoint"] == ["helpscout-exporter"]
    assert image.config["Cmd"] == ["serve"]
    assert list(image.config["ExposedPorts"]) == ["9877/tcp"]
    assert image.config["Healthcheck"]["Test"] == ["CMD", "helpscout-exporter", "healthcheck"]


def test_there_is_no_compiler_and_no_installer_in_it(image: Image) -> None:
    variables = dict(entry.split("=", 1) for entry in image.config["Env"])
    programs = {
        path.name
        for folder in variables["PATH"].split(":")
        for path in (image.files / folder.lstrip("/")).glob("*")
    }
    assert "helpscout-exporter" in programs
    assert not [p for p in programs if p in COMPILERS or p.startswith(("gcc-", "clang-"))]
    assert not [p for p in programs if p.startswith("pip")]
    assert not list((image.files / "opt/exporter").glob("lib/python*/site-packages/pip"))


def test_the_build_leaves_nothing_of_itself(image: Image) -> None:
    for path in ("src", "wheels", "opt/build", "run/secrets", "root/.cache"):
        assert not (image.files / path).exists(), path


def test_its_user_owns_the_place_for_the_state_and_can_change_nothing_else(image: Image) -> None:
    state = (image.files / "var/lib/helpscout-exporter").stat()
    assert [str(state.st_uid), str(state.st_gid)] == list(image.user)
    for path in (image.files / "opt").rglob("*"):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        assert path.is_symlink() or not writable, path


def test_the_jail_is_one(image: Image, tmp_path: Path) -> None:
    look = "print(*[line for line in open('/proc/self/status')], sep='')"
    status = dict(
        line.split(":\t", 1)
        for line in image.run(tmp_path, "python3", "-c", look).stdout.splitlines()
        if ":\t" in line
    )
    user, group = image.user
    assert status["Uid"].split() == [user] * 4
    assert status["Gid"].split() == [group] * 4
    assert status["Groups"].strip() == ""
    assert [int(status[caps], 16) for caps in ("CapInh", "CapPrm", "CapEff", "CapAmb")] == [0] * 4
    assert status["NoNewPrivs"] == "1"
    write = "open('/tmp/anything', 'w')"
    refused = image.run(tmp_path, "python3", "-c", write)
    assert "Read-only file system" in refused.stderr


def test_its_demo_shows_every_figure_its_version_and_its_revision(
    image: Image, start: Start, tmp_path: Path
) -> None:
    program = (*image.config["Entrypoint"], "demo", "--listen", "127.0.0.1:0")
    process = start(command=image.command(tmp_path, *program))
    url = address(process)

    def every_figure() -> Metrics | None:
        metrics = scrape(url)
        return metrics if all(metrics.named(name) for name in MISSION) else None

    metrics = eventually(every_figure, "every figure")
    (info,) = metrics.named("helpscout_exporter_build_info")
    assert info.labels["version"] == __version__
    assert info.labels["revision"] == revision()
    assert process.end() == 0


def test_it_polls_an_account_keeps_its_state_and_passes_its_own_healthcheck(
    image: Image,
    start: Start,
    running_desk: Desk,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "secret").write_text("secret-1\n")
    environ = running_desk.environ(
        "v2",
        HELPSCOUT_CLIENT_SECRET_FILE="/var/lib/helpscout-exporter/secret",
        HELPSCOUT_STATE_FILE="/var/lib/helpscout-exporter/state.db",
        HELPSCOUT_WINDOWS="[24h]",
        HELPSCOUT_TYPES="[all]",
    )
    del environ["HELPSCOUT_CLIENT_SECRET"]
    program = (*image.config["Entrypoint"], *image.config["Cmd"])
    process = start(command=image.command(tmp_path, *program, environ=environ))
    url = address(process)
    eventually(lambda: scrape(url, "helpscout_up").named("helpscout_up", account="default"), "up")
    eventually(lambda: (tmp_path / "state" / "state.db").exists(), "a state file")
    assert (tmp_path / "state" / "state.db").stat().st_uid == int(image.user[0])

    _, *check = image.config["Healthcheck"]["Test"]
    listening = environ | {"HELPSCOUT_WEB__LISTEN": url.removeprefix("http://")}
    well = image.run(tmp_path, *check, environ=listening)
    assert well.returncode == 0, well.stderr
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    ill = image.run(tmp_path, *check, environ=listening)
    assert ill.returncode == 1
    assert "no answer" in ill.stderr


@pytest.mark.parametrize(
    ("argument", "said"),
    [("--version", f"helpscout-exporter {__version__}\n"), ("--help", "for Help Scout")],
)
def test_its_program_starts(image: Image, tmp_path: Path, argument: str, said: str) -> None:
    done = image.run(tmp_path, *image.config["Entrypoint"], argument)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
