"""The configuration file: what it may say, the result, and how it is shown again."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from exporter.helpscout.account import Account, Secret
from exporter.questions import Window
from exporter.selection import MailboxChoice, Segment, Shard
from exporter.settings import (
    Configuration,
    ConfigurationError,
    LogSettings,
    WebSettings,
    leaves,
    load,
)
from exporter.settings.collectors import COLLECTORS
from exporter.sla import Objective

CONFIG = Path(__file__).parents[1] / "testdata" / "config"
EXAMPLE = Path(__file__).parents[2] / "config.example.yml"
ACCOUNT = "accounts: [{client_id: abc, client_secret: hunter2}]\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusals(path: Path | None, **environ: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ, hostname=lambda: "web")
    assert str(caught.value) == "\n".join(caught.value.messages)
    return list(caught.value.messages)


INVALID = sorted(path.name for path in CONFIG.glob("invalid-*.yml"))


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_file_is_refused_with_exactly_the_messages_at_its_head(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CONFIG)
    head = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
    prefix = "# message: "
    expected = [line.removeprefix(prefix) for line in head if line.startswith(prefix)]
    messages = refusals(Path(name))
    assert messages == expected
    for message in messages:
        assert message.startswith(f"{name}: ")
        assert message.isprintable()
        assert "hunter" not in message


def test_the_table_of_invalid_files_is_not_lost() -> None:
    assert len(INVALID) >= 130


@pytest.mark.parametrize("path", sorted(CONFIG.glob("valid-*.yml")), ids=lambda path: path.name)
def test_a_valid_file_is_taken_and_what_is_shown_of_it_means_the_same(
    path: Path, tmp_path: Path
) -> None:
    loaded = load(path, {})
    again = tmp_path / "shown.yml"
    again.write_text(loaded.masked(), encoding="utf-8")
    hidden = Secret(text="<secret>")
    accounts = tuple(
        replace(
            account,
            client_secret=hidden if account.client_secret else None,
            api_key=hidden if account.api_key else None,
            collectors=account.collectors or COLLECTORS,
        )
        for account in loaded.accounts
    )
    assert load(again, {}) == replace(loaded, accounts=accounts)


def test_two_keys_are_enough_and_the_rest_has_the_documented_defaults() -> None:
    assert load(CONFIG / "valid-minimal.yml", {}) == Configuration(
        accounts=(
            Account(
                name="default",
                api="v2",
                base_url="https://api.helpscout.net/v2",
                client_id="abc",
                client_secret=Secret(text="hunter2"),
                api_key=None,
                requests_per_minute=200,
                budget=0.5,
                concurrency=4,
                timeout=timedelta(seconds=30),
            ),
        ),
        mailboxes=MailboxChoice(include=("*",), exclude=(), all=True),
        types=("all", "email", "chat", "phone"),
        windows=(
            Window("24h", timedelta(minutes=5)),
            Window("7d", timedelta(minutes=35)),
            Window("30d", timedelta(hours=1)),
        ),
        office_hours=(False,),
        segments=(),
        compare=False,
        end_delay=timedelta(),
        shard=Shard(index=0, total=1, by="account"),
        stale_after=3,
        objectives=(),
        state_file=None,
        web=WebSettings(("127.0.0.1:9877",), "/metrics", None, enable_lifecycle=False),
        log=LogSettings("info", "auto"),
        warnings=(),
    )


def test_an_api_key_alone_makes_it_v1() -> None:
    (account,) = load(CONFIG / "valid-v1.yml", {}).accounts
    assert (account.api, account.base_url) == ("v1", "http://[::1]:9878/v1")
    assert account.api_key == Secret(text="hunter2")


def test_everything_that_is_said_is_heard() -> None:
    loaded = load(CONFIG / "valid-several.yml", {})
    a, b, c = loaded.accounts
    assert a.secret("client_secret") == Secret(file=CONFIG / "secrets/a")
    assert (a.budget, a.timeout) == (1, timedelta(seconds=90))
    assert b.secret("api_key") == Secret(file=Path("/run/secrets/b"))
    assert (b.api, b.base_url) == ("v1", "https://proxy.example/hs/v1")
    assert c.base_url == "http://stub:8080"
    assert loaded.mailboxes == MailboxChoice(("Support*", 1001), ("Support test",), all=False)
    assert loaded.types == ("email",)
    assert loaded.windows == (
        Window("1h", timedelta(minutes=1)),
        Window("168h", timedelta(minutes=20)),
        Window("90d", timedelta(hours=1)),
    )
    assert loaded.office_hours == (False, True)
    assert loaded.segments == (Segment("vip", ("vip", 4711), (991,)),)
    assert loaded.compare
    assert loaded.end_delay == timedelta(minutes=5)
    assert loaded.shard == Shard(1, 2, "mailbox")
    assert list(loaded.named_mailboxes) == [
        ("mailboxes.include[0]", "Support*"),
        ("mailboxes.include[1]", 1001),
        ("mailboxes.exclude[0]", "Support test"),
        ("sla[0].mailboxes[0]", 1001),
    ]
    quick, once = loaded.objectives
    assert quick == Objective(
        name="quick",
        statistic="first_response_time",
        target=timedelta(minutes=45),
        objective=0.9,
        windows=("1h", "168h"),
        mailboxes=(1001,),
        types=("email",),
        office_hours=(True,),
        segments=("", "vip"),
    )
    assert once == Objective(
        "once", "replies_to_resolve", 1, 0.5, ("1h", "168h"), ("*",), ("email",), (False,), ("",)
    )
    assert (loaded.stale_after, loaded.state_file) == (1.5, CONFIG / "state.db")
    assert loaded.web == WebSettings(
        (":0",),
        "/help-scout/metrics",
        "https://tools.example.com/helpscout/",
        CONFIG / "web.yml",
        enable_lifecycle=True,
        process_metrics=False,
    )
    assert loaded.log == LogSettings("debug", "logfmt")


def test_every_number_of_an_account_is_heard(write: Write) -> None:
    text = "{api_key: k, requests_per_minute: 123, budget: 0.25, concurrency: 7, timeout: 11s}"
    (account,) = load(write(f"accounts: [{text}]"), {}).accounts
    found = (account.requests_per_minute, account.budget, account.concurrency, account.timeout)
    assert found == (123, 0.25, 7, timedelta(seconds=11))


def test_an_anchor_may_be_used_again_and_merged_into_a_mapping() -> None:
    loaded = load(CONFIG / "valid-anchors.yml", {})
    first, second = loaded.accounts
    assert (first.name, first.budget, first.concurrency) == ("acme", 0.25, 4)
    assert second == replace(first, name="other", concurrency=8)
    assert loaded.objectives[0].types == loaded.types == ("all", "email")


def test_of_several_mappings_that_are_merged_the_first_wins(write: Write) -> None:
    path = write(
        "accounts:\n"
        "  - &a {name: a, client_id: abc, client_secret: s, budget: 0.25}\n"
        "  - &b {name: b, client_id: xyz, client_secret: s, concurrency: 8}\n"
        "  - {<<: [*a, *b], name: c}\n"
    )
    first, _, both = load(path, {}).accounts
    assert both == replace(first, name="c", concurrency=8)


@pytest.mark.parametrize(("enabled", "ranges"), [("true", {"7d", "90d"}), ("false", {"7d"})])
def test_what_is_asked_about_are_the_windows_of_happiness_too(
    enabled: str, ranges: set[str]
) -> None:
    happiness = f"{{enabled: {enabled}, windows: [90d]}}"
    environ = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_WINDOWS": "[7d]"}
    loaded = load(None, environ | {"HELPSCOUT_HAPPINESS": happiness})
    assert loaded.ranges.keys() == ranges


def test_the_longest_window_is_a_leap_year_and_the_longest_target_the_last_edge() -> None:
    sla = "[{name: n, statistic: response_time, target: 2d, objective: 0.9}]"
    environ = {"HELPSCOUT_API_KEY": "k", "HELPSCOUT_WINDOWS": "[366d]", "HELPSCOUT_SLA": sla}
    loaded = load(None, environ)
    assert [window.text for window in loaded.windows] == ["366d"]
    assert [each.target_value for each in loaded.objectives] == [172_800]


def test_yaml_does_not_turn_words_into_something_else() -> None:
    loaded = load(CONFIG / "valid-yaml-traps.yml", {})
    one, two = loaded.accounts
    assert (one.name, one.client_id, one.client_secret) == ("on", "123e45", Secret(text="0123"))
    assert (two.name, two.client_id) == ("2024-01-01", "0x1F")
    assert two.client_secret == Secret(text="12:30:45")
    assert loaded.mailboxes.include == ("Yes", "007", 42)
    assert loaded.segments == (Segment("off", ("no", "1_000", "4711", 4711)),)


def test_the_example_is_valid_complete_and_says_the_defaults(tmp_path: Path) -> None:
    example = load(EXAMPLE, {})
    assert example.warnings == ()
    assert [account.name for account in example.accounts] == ["acme", "acme-v1"]
    assert example.accounts[0].secret("client_secret") == Secret(
        file=EXAMPLE.parent / "secrets/acme"
    )
    minimal = load(CONFIG / "valid-minimal.yml", {})
    assert example == replace(
        minimal,
        accounts=example.accounts,
        objectives=example.objectives,
        segments=example.segments,
    )
    text = EXAMPLE.read_text(encoding="utf-8")
    shown = set(yaml.safe_load(text)) | {"client_secret", "api_key"}
    assert {str(path[0]) for path in leaves()} <= shown
    for path in leaves():
        assert f"{path[-1] if isinstance(path[-1], str) else path[-2]}:" in text


@pytest.mark.parametrize(
    ("range_", "every"),
    [("1m", "1m"), ("1h", "1m"), ("5h", "1m2s"), ("24h", "5m"), ("7d", "35m"), ("12d", "1h")],
)
def test_a_window_is_asked_288_times_per_range_within_bounds_and_in_whole_seconds(
    range_: str, every: str, write: Write
) -> None:
    loaded = load(write(f"{ACCOUNT}windows: [{range_}]\n"), {})
    assert f"every: {every}\n" in loaded.masked()


@pytest.mark.parametrize(
    "url",
    ["http://localhost:9878/v2", "http://127.0.0.1/v2", "http://127.9.9.9", "http://[::1]:1/v2"],
)
def test_http_is_for_loopback(url: str, write: Write) -> None:
    path = write(f"accounts: [{{client_id: a, client_secret: b, base_url: '{url}'}}]")
    assert load(path, {}).accounts[0].base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.example/v2",
        "http://127.0.0.1.example/v2",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "HTTP://helpscout.example",
    ],
)
def test_http_elsewhere_is_refused_unless_allowed(url: str, write: Write) -> None:
    account = f"client_id: a, client_secret: b, base_url: '{url}'"
    path = write(f"accounts: [{{{account}}}]")
    rule = "http:// is for loopback only: use https://, or set allow_http"
    assert refusals(path) == [f"{path}: accounts[0].base_url: {rule}"]
    allowed = load(write(f"accounts: [{{{account}, allow_http: true}}]"), {})
    assert allowed.accounts[0].base_url.lower() == url.lower()


@pytest.mark.parametrize(
    "listen",
    [
        "127.0.0.1:9877",
        "[::1]:9877",
        ":0",
        "metrics.example:65535",
        "systemd",
        ["127.0.0.1:9877", "[::1]:9878"],
    ],
)
def test_a_listener_is_a_host_and_a_port_or_several_or_systemd(
    listen: str | list[str], write: Write
) -> None:
    loaded = load(write(f"{ACCOUNT}web: {{listen: {listen!r}}}"), {})
    assert loaded.web.listen == (tuple(listen) if isinstance(listen, list) else (listen,))
    assert yaml.safe_load(loaded.masked())["web"]["listen"] == listen


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("[]", ": is empty: leave it out for the default"),
        ("[':1', x]", '[1]: "x" is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877'),
        ("[':1', ':1']", '[1]: ":1" is listed twice'),
        ("[':1', systemd]", '[1]: "systemd" must stand alone, without addresses'),
        ("{a: 1}", ": a mapping is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877"),
    ],
)
def test_what_is_not_a_list_of_listeners_is_named(listen: str, problem: str, write: Write) -> None:
    path = write(f"{ACCOUNT}web: {{listen: {listen}}}")
    assert refusals(path) == [f"{path}: web.listen{problem}"]


def test_an_objective_takes_the_first_two_windows_the_shorter_one_first(write: Write) -> None:
    sla = "sla: [{name: a, statistic: response_time, target: 1h, objective: 0.9}]\n"
    for windows, expected in (("[7d, 1h, 30d]", ("1h", "7d")), ("[7d]", ("7d",))):
        (objective,) = load(write(f"{ACCOUNT}{sla}windows: {windows}\n"), {}).objectives
        assert objective.windows == expected


def test_an_objective_is_on_what_is_configured(write: Write) -> None:
    sla = "sla: [{name: a, statistic: response_time, target: 1h, objective: 0.9}]\n"
    rest = "types: [email, chat]\noffice_hours: [true]\n"
    (objective,) = load(write(ACCOUNT + sla + rest), {}).objectives
    assert (objective.types, objective.office_hours) == (("email", "chat"), (True,))


def test_an_objective_is_on_everything_together_where_that_is_configured(write: Write) -> None:
    sla = "sla: [{name: a, statistic: response_time, target: 1h, objective: 0.9}]\n"
    rest = "types: [email, all]\noffice_hours: [true, false]\nsegments: [{name: b, tags: [1]}]\n"
    (objective,) = load(write(ACCOUNT + sla + rest), {}).objectives
    found = objective.types, objective.office_hours, objective.segments
    assert found == (("all",), (False,), ("",))


@pytest.mark.parametrize("host", ["exporter-3", "exporter-3.exporter.monitoring.svc"])
def test_a_shard_finds_its_index_in_the_host_name(host: str, write: Write) -> None:
    path = write(f"{ACCOUNT}shard: {{index: auto, total: 4}}")
    assert load(path, {}, hostname=lambda: host).shard == Shard(3, 4)


def test_a_host_name_beyond_the_total_is_refused(write: Write) -> None:
    path = write(f"{ACCOUNT}shard: {{index: auto, total: 4}}")
    with pytest.raises(ConfigurationError) as caught:
        load(path, {}, hostname=lambda: "exporter-4")
    assert str(caught.value) == f"{path}: shard.index: 4 is not below shard.total, which is 4"


def test_accounts_that_share_a_limit_are_pointed_out(write: Write) -> None:
    text = "accounts: [{name: a, api_key: k}, {name: b, api_key: k}, {name: c, api_key: l}]"
    (warning,) = load(write(text), {}).warnings
    assert warning == (
        'accounts "a" and "b" have the same credentials: '
        "they share one rate limit but keep to a budget each"
    )


def test_an_empty_file_says_nothing_and_the_environment_may_say_all(write: Write) -> None:
    for text in ("", "# nothing\n", "---\n", "\ufeff"):
        loaded = load(write(text), {"HELPSCOUT_API_KEY": "k"})
        assert [account.api for account in loaded.accounts] == ["v1"]


def test_a_byte_order_mark_is_not_a_part_of_the_first_key(write: Write) -> None:
    assert load(write("\ufeff" + ACCOUNT), {}).accounts[0].client_id == "abc"


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yml"
    assert refusals(missing) == [f"{missing}: cannot be read: No such file or directory"]
    assert refusals(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_file_of_more_than_a_megabyte_is_not_parsed(write: Write) -> None:
    path = write(ACCOUNT + "#" * 1_000_000)
    assert refusals(path) == [f"{path}: is larger than 1000000 bytes"]


def test_a_long_value_is_cut_and_a_hostile_key_stays_on_one_line(write: Write) -> None:
    path = write(f'{ACCOUNT}types: [{"x" * 1000}]\n"a\\nb\\e[31m": 1\n')
    second, first = refusals(path)
    assert first == (f'{path}: types[0]: "{"x" * 56}… is not one of all, email, chat, phone')
    assert second == f"{path}: a\\nb\\x1b[31m: unknown key"


@pytest.mark.parametrize("key", ["_env_file", "_cli_parse_args", "source", "self", "model_config"])
def test_no_key_reaches_the_library_behind_the_schema(key: str, write: Write) -> None:
    path = write(f"{ACCOUNT}{key}: true\n")
    assert [m.split(", did")[0] for m in refusals(path)] == [f"{path}: {key}: unknown key"]


def test_an_account_is_asked_what_is_on_and_named_for_it(tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        "accounts:\n"
        "- {name: all, api_key: a}\n"
        "- {name: queue, api_key: b, collectors: [folders]}\n"
        "- {name: more, api_key: c, collectors: [happiness, waiting, productivity]}\n"
        "happiness: {enabled: true}\n"
    )
    configuration = load(config, {})
    on = {a.name: configuration.collectors_of(a) for a in configuration.accounts}
    assert on == {
        "all": ["productivity", "folders", "happiness"],
        "queue": ["folders"],
        "more": ["productivity", "happiness"],
    }


def test_a_range_of_happiness_that_is_among_windows_is_written_and_asked_as_there() -> None:
    environ = {
        "HELPSCOUT_API_KEY": "a-key",
        "HELPSCOUT_WINDOWS": "[{range: 168h, every: 20m}, 24h]",
        "HELPSCOUT_HAPPINESS__ENABLED": "true",
    }
    windows = load(None, environ).happiness.windows
    assert [(w.text, w.every) for w in windows] == [
        ("168h", timedelta(minutes=20)),
        ("30d", timedelta(hours=1)),
    ]


WAITING = {"HELPSCOUT_WAITING__ENABLED": "true"}
V2 = "{name: two, client_id: a, client_secret: b}"
V1 = "{name: one, api_key: c}"


@pytest.mark.parametrize(
    "accounts",
    [V1, "{name: two, client_id: a, client_secret: b, collectors: [folders]}"],
    ids=["1.0 alone", "2.0 is asked something else"],
)
def test_waiting_needs_an_account_of_api_2(accounts: str, write: Write) -> None:
    (message,) = refusals(write(f"accounts: [{accounts}]\n"), **WAITING)
    assert message == (
        "HELPSCOUT_WAITING__ENABLED: needs an account of API 2.0: API 1.0 does not say who waits"
    )


def test_accounts_of_api_1_are_left_out_of_waiting_with_one_warning(write: Write) -> None:
    path = write(f"accounts: [{V2}, {V1}, {V1.replace('one', 'three').replace('c}', 'd}')}]\n")
    loaded = load(path, WAITING)
    assert loaded.warnings == (
        'API 1.0 does not say who waits: waiting is not asked of "one", "three"',
    )
    assert load(path, {}).warnings == ()


def test_a_segment_of_folders_is_not_cut_out_of_waiting_and_that_is_said(write: Write) -> None:
    segments = "segments: [{name: vip, tags: [vip]}, {name: box, tags: [vip], folders: [9]}]\n"
    path = write(f"accounts: [{V2}]\n{segments}")
    (warning,) = load(path, WAITING).warnings
    assert warning == (
        "segments[1] (box) names folders: it is not cut out of waiting, because a conversation does"
        " not say all the folders that it is in"
    )
    assert load(path, {}).warnings == ()


SLA_IN_HOURS = (
    "office_hours: [true, false]\n"
    "sla:\n"
    "- {name: fast, statistic: response_time, target: 1h, objective: 0.9, office_hours: [true]}\n"
    "- {name: both, statistic: response_time, target: 1h, objective: 0.9,"
    " office_hours: [true, false]}\n"
    "- {name: handled, statistic: handle_time, target: 5m, objective: 0.9, office_hours: [true]}\n"
)
SCHEDULE = "office_schedule: {timezone: UTC, hours: {mon: 09:00-17:00}}"


def test_an_sla_in_office_hours_alone_needs_a_schedule_for_waiting(write: Write) -> None:
    path = write(f"accounts: [{V2}]\n{SLA_IN_HOURS}")
    (warning,) = load(path, WAITING).warnings
    assert warning == (
        "sla[0] (fast) counts office hours only: without an office_schedule nobody is seen to wait"
        ' beyond its target in "two"'
    )
    assert load(path, {}).warnings == ()
    scheduled = V2.replace("}", f", {SCHEDULE}}}")
    assert load(write(f"accounts: [{scheduled}]\n{SLA_IN_HOURS}"), WAITING).warnings == ()
