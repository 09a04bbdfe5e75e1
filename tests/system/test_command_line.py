"""Every command's exit code and what it says: one line on stderr, results alone on stdout."""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import pytest
import requests

from tests.support import (
    PROGRAM,
    Ended,
    Metrics,
    Process,
    Run,
    environment,
    eventually,
    get,
    reserved_port,
)
from tests.system.conftest import NOW, Desk, Start, address, desk

OPTIONS = {
    "serve": ["--config", "--listen"],
    "demo": ["--listen"],
    "simulate": [
        "--listen",
        "--seed",
        "--mailboxes",
        "--accounts",
        "--latency",
        "--rate-limit",
        "--start",
        "--speed",
        "--now",
        "--faults",
    ],
    "check": ["--config"],
    "once": ["--config", "--output"],
    "plan": ["--config", "--mailboxes"],
    "backfill": [
        "--from",
        "--to",
        "--step",
        "--budget",
        "--label",
        "--dry-run",
        "--output",
        "--config",
    ],
    "healthcheck": ["--url"],
}
ACCOUNT = {"HELPSCOUT_CLIENT_ID": "demo-1", "HELPSCOUT_CLIENT_SECRET": "secret-1"}
BAD_CONFIG = """
accounts: [{client_id: a, client_secret: b}]
windows: [24h, {range: 7x}]
"""


WRONG_USAGE = [
    (["--nothing"], "No such option: --nothing; see "),
    (["nothing"], "No such command 'nothing'; see "),
    (["serve", "surplus"], "unexpected extra argument(s) (surplus); see "),
    (["serve", "--config"], "'--config' requires an argument"),
    (["serve", "--config", "missing.yml"], "missing.yml: cannot be read: No such file"),
    (["serve", "--config", "."], ".: cannot be read: Is a directory"),
    (["serve", "--config", "bad.yml"], 'bad.yml: windows[1].range: "7x" is not a duration'),
    (["check", "--config", "bad.yml"], 'bad.yml: windows[1].range: "7x" is not a duration'),
    (["healthcheck", "--config", "bad.yml"], 'bad.yml: windows[1].range: "7x" is not a duration'),
    (["serve", "--listen", "nowhere"], '--listen: "nowhere" is not HOST:PORT'),
    (["demo", "--listen", "nowhere"], '--listen: "nowhere" is not HOST:PORT'),
    (["simulate", "--listen", "nowhere"], '--listen: "nowhere" is not HOST:PORT'),
    (["simulate", "--listen", ":65536"], '--listen: ":65536" is not HOST:PORT'),
    (["simulate", "--now", "never"], '--now: "never" is not a time like 2026-'),
    (["simulate", "--now", "2026-11-02T12:00:00Z", "--speed", "9"], "stands still with --now"),
    (["simulate", "--now", "2026-11-02T12:00:00Z", "--start", "2026-11-02"], "still with --now"),
    (["simulate", "--start", "soon"], '--start: "soon" is not a time like 2026-'),
    (["simulate", "--speed", "0"], "--speed: 0 is not a number above 0"),
    (["simulate", "--speed", "nan"], "--speed: nan is not a number above 0"),
    (["simulate", "--latency", "soon"], '--latency: "soon" is not a duration'),
    (["simulate", "--rate-limit", "0"], "Invalid value for '--rate-limit'"),
    (["simulate", "--faults", "missing.yml"], "--faults: missing.yml: No such file"),
    (["simulate", "--faults", "bad.yml"], "bad.yml: accounts: unknown key"),
    (["simulate", "--now", "1969-12-31"], '--now: "1969-12-31" is before 1970'),
    (["simulate", "--mailboxes", "90001"], "Invalid value for '--mailboxes'"),
    (["healthcheck", "--url"], "'--url' requires an argument"),
    (["once", "--at", "never"], '--at: "never" is not a time like 2026-'),
    (["once", "--at", "0001-01-01T00:00+01:00"], "is not a time like 2026-"),
]


def test_the_help_lists_every_command(run: Run) -> None:
    outcome = run("--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    for command in OPTIONS:
        assert f"\n  {command} " in outcome.stdout
    listed = outcome.stdout.partition("Commands:")[2]
    assert listed.count("\n  ") >= 8
    assert "..." not in listed


def test_without_a_command_the_help_is_shown_as_an_error(run: Run) -> None:
    outcome = run()
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr == run("--help").stdout


def test_the_version_is_reported(run: Run) -> None:
    told = f"helpscout-exporter {version('helpscout-exporter')}\n"
    assert run("--version") == Ended(0, told, "")


@pytest.mark.parametrize("arguments", ["--version", "--help", "plan --help"])
def test_a_result_that_cannot_be_written_is_not_a_success(arguments: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PROGRAM, *arguments.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "stdout: No space left on device: the result is not written\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_a_result_that_nobody_reads_is_not_a_success_and_says_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        ended = subprocess.run(
            [*PROGRAM, "--version"], stdout=pipe, stderr=subprocess.PIPE, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize(
    ("arguments", "closed", "code", "said"),
    [
        ("--version", ">&-", 1, "stdout: it is closed: the result is not written\n"),
        ("--help", ">&-", 1, "stdout: it is closed: the result is not written\n"),
        ("--version", ">&- 2>&- <&-", 1, ""),
        ("nothing", "2>&-", 2, ""),
        ("nothing", "2>/dev/full", 2, ""),
        ("once --output /dev/null", "2>&-", 2, ""),
    ],
)
def test_a_closed_stdout_or_a_stderr_that_takes_nothing_does_not_crash_it(
    arguments: str, closed: str, code: int, said: str
) -> None:
    shell = ["sh", "-c", f'exec "$@" {arguments} {closed}', "sh", *PROGRAM]
    ended = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)


def test_a_daemon_with_everything_closed_serves(tmp_path: Path) -> None:
    port = reserved_port()

    def answers() -> bool:
        with suppress(requests.RequestException):
            return get(f"http://127.0.0.1:{port}/-/healthy").text == "healthy\n"
        return False

    command = [*PROGRAM, "demo", "--listen", f"127.0.0.1:{port}"]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    with subprocess.Popen(shell, env=environment(), cwd=tmp_path) as daemon:
        try:
            eventually(answers, "healthy")
        finally:
            daemon.terminate()
        assert daemon.wait(30) == 0


@pytest.mark.parametrize(("command", "options"), OPTIONS.items(), ids=OPTIONS)
def test_the_help_of_a_command_shows_its_options(
    run: Run, command: str, options: list[str]
) -> None:
    outcome = run(command, "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    for option in options:
        assert f"\n  {option} " in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "message"), WRONG_USAGE, ids=[" ".join(words) for words, _ in WRONG_USAGE]
)
def test_wrong_usage_and_configuration_exit_2_with_one_line(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "bad.yml").write_text(BAD_CONFIG)
    outcome = run(*arguments, environ=ACCOUNT)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_without_an_account_every_way_to_one_is_named(run: Run) -> None:
    process = run("serve")
    assert process.code == 2
    for words in (
        "no account is configured",
        "HELPSCOUT_CLIENT_ID",
        "HELPSCOUT_CLIENT_SECRET",
        "HELPSCOUT_API_KEY",
        "helpscout-exporter demo",
    ):
        assert words in process.stderr
    assert process.stderr.count("\n") == 1


def test_simulate_says_what_each_of_its_accounts_logs_in_with(start: Start) -> None:
    process = start("simulate", "--listen", "127.0.0.1:0", "--accounts", "2")
    url = process.says(r"api v2: (http://\S+/v2)\n", stdout=True)
    process.says(r"(client_id: demo-2 .*)\n", stdout=True)
    ways = re.findall(r"client_id: (\S+)  client_secret: (\S+)  api_key: (\S+)", process.stdout)
    for client_id, client_secret, key in ways:
        form = {"grant_type": "client_credentials", "client_id": client_id}
        form["client_secret"] = client_secret
        assert requests.post(f"{url}/oauth2/token", data=form, timeout=10).ok
        v1 = url.replace("/v2", "/v1")
        assert requests.get(f"{v1}/mailboxes.json", auth=(key, "X"), timeout=10).ok
    assert process.end() == 0
    assert len(ways) == 2
    assert process.stdout.count("\n") == 4


# --- the job failed -----------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that is taken, but that nobody listens on: connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Serve one status and a word about it, whatever is asked; yield the address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"a word\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/-/healthy"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def failed_with_one_line(outcome: Ended | Process) -> str:
    """Return the line that a failed command says on stderr."""
    code = outcome.code if isinstance(outcome, Ended) else outcome.wait()
    assert code == 1, outcome.stderr
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1
    return outcome.stderr


@pytest.mark.parametrize("command", ["serve", "demo", "simulate"])
def test_a_port_in_use_is_reported(start: Start, taken: str, command: str) -> None:
    said = failed_with_one_line(start(command, "--listen", taken, environ=ACCOUNT))
    assert "listen" in said
    assert f"cannot listen on {taken}: Address already in use" in said


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        (
            {"HELPSCOUT_CLIENT_ID": "demo-1", "HELPSCOUT_CLIENT_SECRET": "a-wrong-one"},
            "Client authentication failed",
        ),
        ({"HELPSCOUT_API_KEY": "a-wrong-one"}, "401"),
    ],
    ids=["v2", "v1"],
)
def test_check_says_that_credentials_are_wrong_and_never_shows_them(
    run: Run, frozen_desk: Desk, credentials: dict[str, str], message: str
) -> None:
    api = "v1" if "HELPSCOUT_API_KEY" in credentials else "v2"
    environ = {"HELPSCOUT_BASE_URL": f"{frozen_desk.url}/{api}", **credentials}
    said = failed_with_one_line(run("check", environ=environ))
    assert said.startswith("default: ")
    assert message in said
    assert "a-wrong-one" not in said


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_check_says_that_the_service_cannot_be_reached(run: Run, nobody: str, api: str) -> None:
    said = failed_with_one_line(run("check", environ=Desk(f"http://{nobody}").environ(api)))
    assert said.startswith("default: ")
    assert "connect" in said


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_check_says_what_it_found(run: Run, frozen_desk: Desk, api: str) -> None:
    process = run("check", environ=frozen_desk.environ(api))
    assert process.code == 0
    assert process.stdout.startswith(f"default: login good (API {api[1]}.0), 6 mailboxes")
    assert "productivity, folders good; 90 reports" in process.stdout
    assert process.stdout.count("\n") == 1
    assert process.stderr == ""


MISSPELT = {"HELPSCOUT_WINDOW": "24h", "HELPSCOUT_SERVICE_PORT": "80"}
WARNINGS = (
    "warning: HELPSCOUT_SERVICE_PORT: no such key, ignored\n"
    "warning: HELPSCOUT_WINDOW: no such key, ignored, did you mean HELPSCOUT_WINDOWS?\n"
)


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("plan",),
        ("once",),
        ("backfill", "--from", "2026-10-01", "--to", "2026-10-02", "--dry-run", "--output", "past"),
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_reads_the_configuration_prints_its_warnings(
    run: Run, frozen_desk: Desk, command: tuple[str, ...]
) -> None:
    quiet = {"HELPSCOUT_LOG__LEVEL": "error"}
    environ = frozen_desk.environ("v2") | MISSPELT | quiet
    process = run(*command, environ=environ)
    assert process.code == 0, process.stderr
    assert process.stderr.startswith(WARNINGS)
    assert "warning" not in process.stdout


def test_a_misspelt_secret_is_reported_beside_what_is_missing(run: Run) -> None:
    process = run("check", environ={"HELPSCOUT_CLIENT_ID": "a", "HELPSCOUT_CLIENT_SECERT": "b"})
    assert process.code == 2
    warning, problem = process.stderr.splitlines()
    assert warning.endswith("no such key, ignored, did you mean HELPSCOUT_CLIENT_SECRET?")
    assert problem.startswith("HELPSCOUT_CLIENT_SECRET: is missing")


def test_healthcheck_says_nothing_of_the_configurations_warnings(run: Run, nobody: str) -> None:
    environ = ACCOUNT | MISSPELT | {"HELPSCOUT_WEB__LISTEN": nobody}
    assert "no answer" in failed_with_one_line(run("healthcheck", environ=environ))


def test_plan_says_all_that_it_assumes(run: Run) -> None:
    process = run("plan", environ=ACCOUNT)
    assert process.code == 0
    mailboxes, limit = process.stderr.splitlines()
    assert mailboxes == "default: assuming 10 mailboxes: say --mailboxes N if not"
    assert limit.startswith("default: assuming a limit of 200 calls a minute, by requests_per_min")


def test_once_says_that_the_service_cannot_be_reached_and_still_prints_what_there_is(
    run: Run, nobody: str
) -> None:
    process = run("once", environ=Desk(f"http://{nobody}").environ("v2"))
    assert process.code == 1
    metrics = Metrics.of_text(process.stdout)
    assert metrics.value("helpscout_up", account="default") == 0
    assert metrics.value("helpscout_account_problem", reason="unreachable") == 1
    assert process.stderr.splitlines()[-1] == "some reports failed, see the log above"


def test_once_prints_the_account_without_the_metrics_of_a_process(
    run: Run, frozen_desk: Desk
) -> None:
    environ = frozen_desk.environ("v2", HELPSCOUT_WINDOWS="[24h]")
    process = run("once", "--at", NOW, environ=environ)
    assert process.code == 0
    metrics = Metrics.of_text(process.stdout)
    assert len(metrics.named("helpscout_report_success")) == 28 + 6
    assert not [name for name in metrics.families if not name.startswith("helpscout_")]


def test_once_asks_everything_each_time_and_leaves_the_state_file_alone(
    run: Run, frozen_desk: Desk, tmp_path: Path
) -> None:
    state = tmp_path / "state.db"
    more = {"HELPSCOUT_WINDOWS": "[24h]", "HELPSCOUT_TYPES": "[all]"}
    environ = frozen_desk.environ("v1", HELPSCOUT_STATE_FILE=str(state), **more)
    for _ in range(2):
        process = run("once", environ=environ)
        assert process.code == 0, process.stderr
        metrics = Metrics.of_text(process.stdout)
        calls = metrics.named("helpscout_exporter_api_requests_total", operation="report")
        assert [sample.value for sample in calls] == [7]
    assert not state.exists()


def test_once_writes_a_file_for_the_textfile_collector(
    run: Run, frozen_desk: Desk, tmp_path: Path
) -> None:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    target = folder / "helpscout.prom"
    target.write_text("yesterday's\n")
    environ = frozen_desk.environ("v2", HELPSCOUT_WINDOWS="[7d]")
    process = run("once", "--at", NOW, "--output", str(target), environ=environ)
    assert process.code == 0
    assert process.stdout == ""
    assert len(Metrics.of_text(target.read_text()).named("helpscout_report_success")) == 28 + 6
    assert target.stat().st_mode & 0o777 == 0o644
    assert [*folder.iterdir()] == [target], "nothing else is left there"


@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("command", ["once", "check"])
def test_a_login_and_a_mailbox_list_that_fail_for_a_moment_are_tried_again(
    start: Start, run: Run, api: str, command: str
) -> None:
    service = desk(start, "--mailboxes", "1")
    rules = [{"endpoint": "mailboxes", "times": 2, "status": 503}]
    if api == "v2":
        limited = {"status": 429, "headers": {"Retry-After": "2"}}
        rules += [{"endpoint": "token", "times": 1, **limited}]
    set_faults(service, rules)
    environ = service.environ(api, HELPSCOUT_WINDOWS="[24h]", HELPSCOUT_TYPES="[all]")
    process = run(command, environ=environ)
    assert process.code == 0, process.stderr
    if command == "once":
        assert len(Metrics.of_text(process.stdout).named("helpscout_conversations")) == 2


def set_faults(service: Desk, rules: list[dict[str, object]]) -> None:
    """Make a simulator fail by these rules."""
    answer = requests.put(f"{service.url}/_faults", json={"faults": rules}, timeout=10)
    assert answer.ok, answer.text


@pytest.mark.parametrize(
    "rule",
    [{"status": 503}, {"endpoint": "token", "status": 401}, {"endpoint": "report", "status": 403}],
    ids=str,
)
def test_once_keeps_a_good_file_where_no_report_arrives(
    start: Start, run: Run, tmp_path: Path, rule: dict[str, object]
) -> None:
    service, target = desk(start, "--mailboxes", "1"), tmp_path / "helpscout.prom"
    more = {"HELPSCOUT_WINDOWS": "[24h]", "HELPSCOUT_TYPES": "[all]"}
    environ = service.environ("v2", HELPSCOUT_FOLDERS__ENABLED="false", **more)

    def once() -> Ended:
        return run("once", "--output", str(target), environ=environ)

    set_faults(service, [rule])
    assert once().code == 1
    first = Metrics.of_text(target.read_text())
    assert first.named("helpscout_up"), "with nothing to lose, what there is is written"
    set_faults(service, [])
    assert once().code == 0
    good = target.read_bytes()
    set_faults(service, [rule])
    process = once()
    assert process.code == 1
    assert process.stderr.splitlines()[-1] == (
        f"no report arrived, {target} stays as it was; see the log above"
    )
    assert target.read_bytes() == good


def test_once_writes_what_arrived_where_an_account_fails(
    start: Start, run: Run, tmp_path: Path
) -> None:
    service, target = desk(start, "--mailboxes", "1", "--accounts", "2"), tmp_path / "h.prom"
    (tmp_path / "config.yml").write_text(
        "types: [all]\nwindows: [24h]\naccounts:\n"
        f"  - {{name: one, base_url: {service.url}/v1, api_key: key-1}}\n"
        f"  - {{name: two, base_url: {service.url}/v1, api_key: wrong}}\n"
    )
    target.write_text("yesterday's\n")
    process = run("once", "--config", str(tmp_path / "config.yml"), "--output", str(target))
    assert process.code == 1
    assert process.stderr.splitlines()[-1] == "some reports failed, see the log above"
    metrics = Metrics.of_text(target.read_text())
    assert metrics.value("helpscout_up", account="one") == 1
    assert metrics.value("helpscout_up", account="two") == 0
    assert {s.labels["account"] for s in metrics.named("helpscout_conversations")} == {"one"}


def test_once_in_the_past_says_nothing_of_the_clock(start: Start, run: Run) -> None:
    environ = desk(start, "--mailboxes", "1").environ("v2", HELPSCOUT_WINDOWS="[24h]")
    process = run("once", "--at", NOW, environ=environ)
    assert process.code == 0
    assert "clock" not in process.stderr


def test_once_says_that_its_file_cannot_be_written(
    run: Run, frozen_desk: Desk, tmp_path: Path
) -> None:
    target = tmp_path / "missing" / "helpscout.prom"
    environ = frozen_desk.environ("v2", HELPSCOUT_WINDOWS="[24h]")
    process = run("once", "--at", NOW, "--output", str(target), environ=environ)
    assert process.code == 1
    assert process.stdout == ""
    assert process.stderr.splitlines()[-1] == f"--output: {target}: No such file or directory"


# --- one state file, several processes -----------------------------------------------------------


def test_a_second_serve_on_a_state_file_is_refused_and_everything_else_works_beside_it(
    start: Start, run: Run, frozen_desk: Desk, tmp_path: Path
) -> None:
    state = tmp_path / "state.db"
    environ = frozen_desk.environ("v2", HELPSCOUT_STATE_FILE=str(state), HELPSCOUT_WINDOWS="[24h]")
    first = start("serve", environ=environ)
    url = address(first)
    ok = partial(metric, url, "helpscout_exporter_state_file_ok")
    assert eventually(ok, "the metric of the state file") == 1
    line = failed_with_one_line(start("serve", environ=environ))
    assert line == (
        f"state_file: {state}: process {first.pid} on {socket.gethostname()} is using it; stop that"
        " exporter, or give this one a state_file of its own\n"
    )

    def planned() -> bool:
        plan = run("plan", environ=environ)
        return "default: 6 mailboxes by the state file" in plan.stderr

    eventually(planned, "the mailboxes in the state file")
    for command in (("check",), ("once",)):
        process = run(*command, environ=environ)
        assert process.code == 0, process.stderr
        assert "state file" not in process.stderr
    first.kill()
    third = start("serve", environ=environ)
    assert address(third)
    assert "state file" not in third.stderr


def metric(url: str, name: str) -> float | None:
    """Return the value of a family with one sample, None if it has none."""
    samples = Metrics.of_text(get(f"{url}/metrics").text).named(name)
    return samples[0].value if samples else None


# --- healthcheck --------------------------------------------------------------------------------


def test_healthcheck_fails_where_nobody_listens(run: Run, nobody: str) -> None:
    url = f"http://{nobody}/-/healthy"
    assert failed_with_one_line(run("healthcheck", "--url", url)).startswith(f"{url}: no answer")


@pytest.mark.parametrize("status", [302, 404, 500, 503])
def test_healthcheck_fails_on_every_status_but_200(run: Run, status: int) -> None:
    with answering(status) as url:
        said = failed_with_one_line(run("healthcheck", "--url", url))
    assert said == f"{url}: HTTP {status}: a word\n"


def test_healthcheck_fails_on_an_invalid_url(run: Run) -> None:
    assert failed_with_one_line(run("healthcheck", "--url", "nowhere")).startswith("nowhere: ")


def test_healthcheck_of_a_demo_that_does_not_answer_misses_no_account(
    run: Run, nobody: str
) -> None:
    process = run("healthcheck", environ={"HELPSCOUT_WEB__LISTEN": nobody})
    assert "no answer" in failed_with_one_line(process)


def test_healthcheck_asks_a_demo_which_has_no_account(start: Start, run: Run) -> None:
    listen = f"127.0.0.1:{reserved_port()}"
    address(start("demo", "--listen", listen))
    process = run("healthcheck", environ={"HELPSCOUT_WEB__LISTEN": listen})
    assert process.code == 0, process.stderr
    assert process.stdout == "healthy\n"


def test_healthcheck_asks_the_configured_listener_and_succeeds(
    start: Start, run: Run, frozen_desk: Desk
) -> None:
    environ = frozen_desk.environ("v2")
    url = address(start("serve", environ=environ))
    eventually(lambda: get(f"{url}/-/healthy").ok, "a healthy exporter")
    listen = url.removeprefix("http://")
    process = run("healthcheck", environ=environ | {"HELPSCOUT_WEB__LISTEN": listen})
    assert process.code == 0
    assert process.stdout == "healthy\n"
    assert process.stderr == ""


@pytest.mark.parametrize("by", ["flag", "file", "image"])
def test_healthcheck_asks_where_the_containers_main_process_was_told_to_listen(
    start: Start, frozen_desk: Desk, nobody: str, tmp_path: Path, by: str
) -> None:
    environ = frozen_desk.environ("v2", HELPSCOUT_WEB__LISTEN=nobody)
    file = tmp_path / "config.yml"
    file.write_text(f"web: {{listen: '{nobody}'}}\n")
    arguments = ["serve", "--config", str(file)]
    listen = f"127.0.0.1:{reserved_port()}"
    if by == "flag":
        arguments.append(f"--listen={listen}")
    else:
        del environ["HELPSCOUT_WEB__LISTEN"]
        file.write_text(f"web: {{listen: '{listen}'}}\n" if by == "file" else "")
        environ["EXPORTER_LISTEN"] = nobody if by == "file" else listen
    url = address(start(*arguments, environ=environ))
    assert url == f"http://{listen}"
    eventually(lambda: get(f"{url}/-/healthy").ok, "a healthy exporter")

    cmdline = tmp_path / "cmdline"
    cmdline.write_text(
        "\0".join(["python3", "/opt/exporter/bin/helpscout-exporter", *arguments, ""])
    )
    (tmp_path / "sitecustomize").with_suffix(".py").write_text(
        f"""
import builtins
def in_container(file, *args, real=open, **kwargs):
    return real({str(cmdline)!r} if file == "/proc/1/cmdline" else file, *args, **kwargs)
builtins.open = in_container
"""
    )
    environ["PYTHONPATH"] = str(tmp_path)
    process = start("healthcheck", command=PROGRAM, environ=environ)
    assert process.wait() == 0, process.stderr
    assert process.stdout == "healthy\n"


# --- completion ---------------------------------------------------------------------------------


def test_the_shell_completes_commands_and_options(start: Start) -> None:
    for words, wanted in (("helpscout-exporter ba", "backfill"), ("helpscout-exporter p", "plan")):
        environ = {
            "_HELPSCOUT_EXPORTER_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": "1",
        }
        process = start(command=PROGRAM, environ=environ)
        process.wait()
        assert process.stdout.split() == [wanted]
