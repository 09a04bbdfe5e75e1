"""Variables and flags over the file: names, indices, short forms, types, precedence, origins."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from exporter.cli.demo import demo
from exporter.helpscout.account import Secret
from exporter.questions import Window
from exporter.selection import Segment, Shard
from exporter.settings import Configuration, ConfigurationError, leaves, load, variable

ACCOUNT = {"HELPSCOUT_CLIENT_ID": "abc", "HELPSCOUT_CLIENT_SECRET": "hunter2"}
Write = Callable[[str], Path]

# A value for every key, as a variable writes it, and how the effective configuration shows it.
SAMPLES: Mapping[tuple[str | int, ...], tuple[str, str]] = {
    ("accounts", 0, "name"): ("acme", "name: acme"),
    ("accounts", 0, "api"): ("v2", "api: v2"),
    ("accounts", 0, "base_url"): ("https://h.example", "base_url: https://h.example"),
    ("accounts", 0, "allow_http"): ("true", "api: v2"),
    ("accounts", 0, "client_id"): ("xyz", "client_id: xyz"),
    ("accounts", 0, "client_id_file"): ("/i", "client_id_file: /i"),
    ("accounts", 0, "client_secret"): ("[s", "client_secret: <secret>"),
    ("accounts", 0, "client_secret_file"): ("/s", "client_secret_file: /s"),
    ("accounts", 0, "api_key"): ("{k", "api_key: <secret>"),
    ("accounts", 0, "api_key_file"): ("/k", "api_key_file: /k"),
    ("accounts", 0, "requests_per_minute"): ("399.5", "requests_per_minute: 399.5"),
    ("accounts", 0, "budget"): ("0.25", "budget: 0.25"),
    ("accounts", 0, "concurrency"): ("8", "concurrency: 8"),
    ("accounts", 0, "timeout"): ("1m", "timeout: 1m"),
    ("accounts", 0, "ca_file"): ("/ca.pem", "ca_file: /ca.pem"),
    ("accounts", 0, "proxy_url"): ("http://u:p@h:1", "proxy_url: http://<secret>@h:1"),
    ("accounts", 0, "proxy_url_file"): ("/p", "proxy_url_file: /p"),
    ("accounts", 0, "collectors", 0): ("folders", "collectors:\n  - folders\n"),
    ("accounts", 0, "office_schedule", "timezone"): ("Asia/Tokyo", "timezone: Asia/Tokyo"),
    ("accounts", 0, "office_schedule", "hours"): ("{sun: 9:00-24:00}", "sun:\n      - 09:00-24:00"),
    ("accounts", 0, "office_schedule", "closed", 0): ("2026-12-25", "closed:\n    - '2026-12-25'"),
    ("mailboxes", "include", 0): ("[ab]*", "- '[ab]*'"),
    ("mailboxes", "exclude", 0): ("1001", "- 1001"),
    ("mailboxes", "all"): ("false", "all: false"),
    ("types", 0): ("chat", "types:\n- chat\n"),
    ("windows", 0, "range"): ("36h", "range: 36h"),
    ("windows", 0, "every"): ("11m", "every: 11m"),
    ("office_hours", 0): ("true", "office_hours:\n- true\n"),
    ("segments", 0, "name"): ("gold", "name: gold"),
    ("segments", 0, "tags", 0): ("gold", "- gold"),
    ("segments", 0, "folders", 0): ("7", "- 7"),
    ("compare",): ("true", "compare: true"),
    ("end_delay",): ("90s", "end_delay: 1m30s"),
    ("stale_after",): ("4.5", "stale_after: 4.5"),
    ("productivity", "enabled"): ("false", "productivity:\n  enabled: false\n"),
    ("folders", "enabled"): ("false", "folders:\n  enabled: false\n"),
    ("folders", "every"): ("7m", "every: 7m"),
    ("waiting", "enabled"): ("true", "waiting:\n  enabled: true\n"),
    ("waiting", "every"): ("90s", "every: 1m30s"),
    ("waiting", "at_risk"): ("0.5", "at_risk: 0.5"),
    ("waiting", "max_pages"): ("40", "max_pages: 40"),
    ("happiness", "enabled"): ("true", "happiness:\n  enabled: true\n"),
    ("happiness", "types", 0): ("phone", "types:\n  - phone\n"),
    ("happiness", "windows", 0, "range"): ("90d", "range: 90d"),
    ("happiness", "windows", 0, "every"): ("13m", "every: 13m"),
    ("sla", 0, "name"): ("slow", "name: slow"),
    ("sla", 0, "statistic"): ("response_time", "statistic: response_time"),
    ("sla", 0, "target"): ("3h", "target: 3h"),
    ("sla", 0, "objective"): ("0.75", "objective: 0.75"),
    ("sla", 0, "windows", 0): ("1d", "windows:\n  - 24h\n"),
    ("sla", 0, "mailboxes", 0): ("4711", "- 4711"),
    ("sla", 0, "types", 0): ("phone", "types:\n  - phone\n"),
    ("sla", 0, "office_hours", 0): ("false", "office_hours:\n  - false\n"),
    ("sla", 0, "segments", 0): ("vip", "segments:\n  - vip\n"),
    ("state_file",): ("state.db", "state_file: state.db"),
    ("shard", "index"): ("1", "index: 1"),
    ("shard", "total"): ("5", "total: 5"),
    ("shard", "by"): ("mailbox", "by: mailbox"),
    ("web", "listen"): ("[::1]:1", "listen: '[::1]:1'"),
    ("web", "telemetry_path"): ("/m", "telemetry_path: /m"),
    ("web", "external_url"): ("https://a.example/", "external_url: https://a.example/"),
    ("web", "config_file"): ("web.yml", "config_file: web.yml"),
    ("web", "enable_lifecycle"): ("true", "enable_lifecycle: true"),
    ("web", "process_metrics"): ("false", "process_metrics: false"),
    ("log", "level"): ("error", "level: error"),
    ("log", "format"): ("json", "format: json"),
}
_SCHEDULE = "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__"
AROUND = {
    "happiness": {"HELPSCOUT_HAPPINESS__WINDOWS__0__RANGE": "5d"},
    "office_schedule": {f"{_SCHEDULE}TIMEZONE": "UTC", f"{_SCHEDULE}HOURS": "{mon: 9:00-17:00}"},
    "windows": {"HELPSCOUT_WINDOWS__0__RANGE": "24h"},
    "segments": {
        "HELPSCOUT_SEGMENTS__0__NAME": "vip",
        "HELPSCOUT_SEGMENTS__0__TAGS__0": "vip",
    },
    "sla": {
        "HELPSCOUT_SEGMENTS__0__NAME": "vip",
        "HELPSCOUT_SEGMENTS__0__TAGS__0": "vip",
        "HELPSCOUT_SLA__0__NAME": "fast",
        "HELPSCOUT_SLA__0__STATISTIC": "first_response_time",
        "HELPSCOUT_SLA__0__TARGET": "1h",
        "HELPSCOUT_SLA__0__OBJECTIVE": "0.9",
    },
    "shard": {"HELPSCOUT_SHARD__TOTAL": "4"},
}


def around(key: tuple[str | int, ...]) -> dict[str, str]:
    """The variables without which a key makes no sense."""
    return AROUND.get(str(key[2] if key[0] == "accounts" else key[0]), {})


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.yml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusals(
    environ: Mapping[str, str], path: Path | None = None, overrides: Mapping[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ, overrides or {})
    return list(caught.value.messages)


def with_account(**environ: str) -> Configuration:
    return load(None, ACCOUNT | environ)


def test_every_key_has_a_sample_here() -> None:
    assert list(leaves()) == list(SAMPLES)


@pytest.mark.parametrize(
    "padding",
    ["", *(pytest.param(each, marks=pytest.mark.no_cover) for each in ("\n", "\r\n", " \t"))],
)
@pytest.mark.parametrize("key", SAMPLES, ids=variable)
def test_every_key_is_a_variable_whatever_white_space_is_around_its_value(
    key: tuple[str | int, ...], padding: str
) -> None:
    value, shown = SAMPLES[key]
    value = f"{padding}{value}{padding}"
    environ = around(key) | {variable(key): value}
    if key[-1] in ("client_secret", "client_secret_file"):
        environ["HELPSCOUT_CLIENT_ID"] = "abc"
    elif key[-1] in ("client_id", "client_id_file"):
        environ["HELPSCOUT_CLIENT_SECRET"] = "s"
    elif key[-1] not in ("api_key", "api_key_file"):
        environ |= ACCOUNT
    loaded = load(None, environ)
    assert shown in loaded.masked()
    assert loaded.warnings == ()


@pytest.mark.parametrize("key", SAMPLES, ids=variable)
def test_a_variable_with_a_wrong_value_is_named(key: tuple[str | int, ...]) -> None:
    environ = around(key) | ACCOUNT | {variable(key): "€\x07"}
    if len(key) == 3 and key[0] == "accounts":
        environ.pop(f"HELPSCOUT_{str(key[-1]).upper()}", None)
    messages = refusals(environ)
    assert all(message.isprintable() for message in messages)
    assert [m.split(": ")[0] for m in messages].count(variable(key)) == 1


def test_two_variables_are_enough() -> None:
    (account,) = load(None, ACCOUNT).accounts
    assert (account.name, account.api, account.client_id) == ("default", "v2", "abc")
    assert account.client_secret == Secret(text="hunter2")


def test_one_variable_is_enough_for_v1() -> None:
    (account,) = load(None, {"HELPSCOUT_API_KEY_FILE": "key"}).accounts
    assert (account.api, account.secret("api_key")) == ("v1", Secret(file=Path("key")))


def test_without_any_it_says_how_to_start() -> None:
    (message,) = refusals({})
    assert message == (
        "accounts: no account is configured: set HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET "
        '(or, for API v1, HELPSCOUT_API_KEY), or try "helpscout-exporter demo", which needs none'
    )


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"HELPSCOUT_CLIENT_ID": "abc"},
            "HELPSCOUT_CLIENT_SECRET: is missing: v2 needs it, or client_secret_file",
        ),
        (
            {"HELPSCOUT_CLIENT_SECRET": "s", "HELPSCOUT_CLIENT_ID": ""},
            "HELPSCOUT_CLIENT_ID: is missing: v2 needs it, or client_id_file",
        ),
        ({"HELPSCOUT_API": "v1"}, "HELPSCOUT_API_KEY: is missing: v1 needs it, or api_key_file"),
        (
            ACCOUNT | {"HELPSCOUT_API_KEY": "k"},
            (
                "HELPSCOUT_API_KEY: is not for v2, which takes client_id and client_secret: "
                "remove it, or give it an account of its own"
            ),
        ),
        (
            ACCOUNT | {"HELPSCOUT_CLIENT_ID_FILE": "f"},
            "HELPSCOUT_CLIENT_ID_FILE: client_id is set too: keep one of them",
        ),
        (
            ACCOUNT | {"HELPSCOUT_CLIENT_SECRET_FILE": "f"},
            "HELPSCOUT_CLIENT_SECRET_FILE: client_secret is set too: keep one of them",
        ),
        (
            ACCOUNT | {"HELPSCOUT_ACCOUNTS__0__CLIENT_SECRET_FILE": "f"},
            "HELPSCOUT_ACCOUNTS__0__CLIENT_SECRET_FILE: client_secret is set too: keep one of them",
        ),
        (
            ACCOUNT | {"HELPSCOUT_ACCOUNTS__0__CLIENT_ID": "abc"},
            "HELPSCOUT_CLIENT_ID: HELPSCOUT_ACCOUNTS__0__CLIENT_ID sets the same key: keep one",
        ),
        (
            ACCOUNT | {"HELPSCOUT_ACCOUNTS__0__BUDGET": "2"},
            'HELPSCOUT_ACCOUNTS__0__BUDGET: "2" is not a number above 0 and at most 1',
        ),
        (
            ACCOUNT | {"HELPSCOUT_ACCOUNTS__0__BUDGETS": "1"},
            "HELPSCOUT_ACCOUNTS__0__BUDGETS: unknown key, did you mean budget?",
        ),
        (
            ACCOUNT | {"HELPSCOUT_WEB__listen": ":1"},
            "HELPSCOUT_WEB__listen: variables are written in capitals: HELPSCOUT_WEB__LISTEN",
        ),
        (
            ACCOUNT | {"HELPSCOUT_WEB": "x"},
            "HELPSCOUT_WEB: takes a mapping, not text",
        ),
        (
            ACCOUNT | {"HELPSCOUT_TYPES": "email, fax"},
            'HELPSCOUT_TYPES: types[1]: "fax" is not one of all, email, chat, phone',
        ),
        (
            ACCOUNT | {"HELPSCOUT_WINDOWS": "24h,"},
            (
                'HELPSCOUT_WINDOWS: windows[1].range: "" is not a duration: '
                "write it like 90s, 15m, 1h30m, 7d or 2w"
            ),
        ),
        (
            ACCOUNT | {"HELPSCOUT_MAILBOXES__INCLUDE": "Support, first line"},
            (
                "HELPSCOUT_MAILBOXES__INCLUDE: takes a list, not text: "
                'write ["Support, first line"], or ["Support", "first line"] for several, '
                "or set HELPSCOUT_MAILBOXES__INCLUDE__0"
            ),
        ),
        (
            ACCOUNT | {"HELPSCOUT_SEGMENTS__0__NAME": "vip", "HELPSCOUT_SEGMENTS__0__TAGS": "vip"},
            (
                "HELPSCOUT_SEGMENTS__0__TAGS: takes a list, not text: "
                'write ["vip"], or set HELPSCOUT_SEGMENTS__0__TAGS__0'
            ),
        ),
        (
            ACCOUNT | {"HELPSCOUT_MAILBOXES": "Support"},
            (
                "HELPSCOUT_MAILBOXES: takes a mapping, not text: set HELPSCOUT_MAILBOXES__INCLUDE "
                "or HELPSCOUT_MAILBOXES__EXCLUDE or HELPSCOUT_MAILBOXES__ALL"
            ),
        ),
        (
            ACCOUNT | {"HELPSCOUT_CLIENT_SECRET": '"hunter2"'},
            "HELPSCOUT_CLIENT_SECRET: is in quotes, which are part of it: remove them",
        ),
        (
            ACCOUNT | {"HELPSCOUT_TYPES": "'email'"},
            "HELPSCOUT_TYPES: is in quotes, which are part of it: remove them",
        ),
        (
            ACCOUNT | {"HELPSCOUT_SEGMENTS": "vip"},
            "HELPSCOUT_SEGMENTS: takes a list, not text",
        ),
        (
            ACCOUNT | {"HELPSCOUT_TYPES": "{a: 1}"},
            "HELPSCOUT_TYPES: takes a list, not a mapping",
        ),
        (
            ACCOUNT | {"HELPSCOUT_TYPES": "[email, fax]"},
            'HELPSCOUT_TYPES: types[1]: "fax" is not one of all, email, chat, phone',
        ),
        (
            ACCOUNT | {"HELPSCOUT_TYPES": "[email, chat"},
            "HELPSCOUT_TYPES: line 1, column 13: expected ',' or ']', but got '<stream end>'",
        ),
        (
            ACCOUNT | {"HELPSCOUT_LOG": "{level: info, level: debug}"},
            'HELPSCOUT_LOG: line 1, column 15: duplicate key "level"',
        ),
        (
            ACCOUNT | {"HELPSCOUT_WINDOWS__0": "7x"},
            'HELPSCOUT_WINDOWS__0: "7x" is not a duration: write it like 90s, 15m, 1h30m, 7d or 2w',
        ),
        (
            ACCOUNT | {"HELPSCOUT_WINDOWS__0": "7d", "HELPSCOUT_WINDOWS__2": "30d"},
            "HELPSCOUT_WINDOWS__2: leaves a gap: the next free index is 1",
        ),
        (
            ACCOUNT | {"HELPSCOUT_WINDOWS__00": "7d"},
            "HELPSCOUT_WINDOWS__00: windows is a list: an index is missing",
        ),
        (
            ACCOUNT | {"HELPSCOUT_WINDOWS__0__EVERY": "5m"},
            "HELPSCOUT_WINDOWS__0__RANGE: is missing",
        ),
        (
            ACCOUNT | {"HELPSCOUT_STALE_AFTER": "1e3"},
            'HELPSCOUT_STALE_AFTER: "1e3" is not a number from 1',
        ),
        (
            {"HELPSCOUT_API": "v2", "HELPSCOUT_CLIENT_SECRET_FILE": "f"},
            "HELPSCOUT_CLIENT_ID: is missing: v2 needs it, or client_id_file",
        ),
        (
            ACCOUNT | {"HELPSCOUT_STATE_FILE": "\udcff"},
            "HELPSCOUT_STATE_FILE: is not UTF-8 text",
        ),
        (
            ACCOUNT | {"HELPSCOUT_COMPARE": "1"},
            'HELPSCOUT_COMPARE: "1" is not true or false',
        ),
        (
            ACCOUNT | {"HELPSCOUT_CLIENT_SECRET": "hunter\n2"},
            "HELPSCOUT_CLIENT_SECRET: holds a control character, perhaps a line break",
        ),
        (
            ACCOUNT | {"HELPSCOUT_SHARD__INDEX": "3", "HELPSCOUT_SHARD__TOTAL": "3"},
            "HELPSCOUT_SHARD__INDEX: 3 is not below shard.total, which is 3",
        ),
    ],
)
def test_a_wrong_variable_is_one_line_that_names_it(environ: dict[str, str], message: str) -> None:
    assert refusals(environ) == [message]


def test_a_refused_variable_does_not_bring_complaints_about_what_it_would_have_set() -> None:
    assert refusals({"HELPSCOUT_ACCOUNTS": "[{client_id: a"}) == [
        "HELPSCOUT_ACCOUNTS: line 1, column 15: expected ',' or '}', but got '<stream end>'"
    ]


def test_names_that_kubernetes_injects_are_warned_of_and_a_near_miss_gets_a_hint() -> None:
    loaded = with_account(
        HELPSCOUT_SERVICE_HOST="10.0.0.1",
        HELPSCOUT_PORT_9877_TCP="tcp://10.0.0.1:9877",
        HELPSCOUT_WEB_LISTEN=":1",
        HELPSCOUT_CONFIG="config.yml",
        HELPSCOUT_EMPTY="",
        OTHER_WINDOWS="x",
        helpscout_windows="x",
    )
    assert loaded.warnings == (
        "HELPSCOUT_PORT_9877_TCP: no such key, ignored",
        "HELPSCOUT_SERVICE_HOST: no such key, ignored",
        "HELPSCOUT_WEB_LISTEN: no such key, ignored, did you mean HELPSCOUT_WEB__LISTEN?",
    )


def test_the_demo_warns_of_such_names_and_ignores_the_configuration_of_an_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HELPSCOUT_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("HELPSCOUT_API_KEY", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        demo(["nowhere"])
    assert caught.value.warnings == ("HELPSCOUT_SERVICE_HOST: no such key, ignored",)
    assert [message.split(": ")[0] for message in caught.value.messages] == ["--listen"]


def test_a_configuration_that_is_refused_says_what_it_ignored() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {"HELPSCOUT_CLIENT_ID": "a", "HELPSCOUT_CLIENT_SECERT": "b"})
    assert "client_secret" in str(caught.value).lower()
    assert caught.value.warnings == (
        "HELPSCOUT_CLIENT_SECERT: no such key, ignored, did you mean HELPSCOUT_CLIENT_SECRET?",
    )


def test_a_file_that_cannot_be_read_does_not_hide_what_was_ignored(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        load(tmp_path / "config.yml", {"HELPSCOUT_WINDOW": "24h"})
    assert caught.value.warnings == (
        "HELPSCOUT_WINDOW: no such key, ignored, did you mean HELPSCOUT_WINDOWS?",
    )


def test_help_scouts_own_names_of_the_credentials_get_a_hint() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(None, {"HELPSCOUT_APP_ID": "a", "HELPSCOUT_APP_SECRET": "b"})
    assert caught.value.warnings == (
        "HELPSCOUT_APP_ID: no such key, ignored, did you mean HELPSCOUT_CLIENT_ID?",
        "HELPSCOUT_APP_SECRET: no such key, ignored, did you mean HELPSCOUT_CLIENT_SECRET?",
    )


def test_an_empty_variable_is_not_set(write: Write) -> None:
    path = write("accounts: [{api_key: k, budget: 0.1}]\nlog: {level: debug}\n")
    loaded = load(path, {"HELPSCOUT_LOG__LEVEL": "", "HELPSCOUT_ACCOUNTS__0__BUDGET": ""})
    assert (loaded.log.level, loaded.accounts[0].budget) == ("debug", 0.1)


def test_a_list_is_given_whole_or_by_index() -> None:
    for environ in (
        {"HELPSCOUT_WINDOWS": "[24h, {range: 7d, every: 15m}]"},
        {"HELPSCOUT_WINDOWS": "24h, 7d", "HELPSCOUT_WINDOWS__1__EVERY": "15m"},
        {"HELPSCOUT_WINDOWS__0": "24h", "HELPSCOUT_WINDOWS__1": "{range: 7d, every: 15m}"},
        {
            "HELPSCOUT_WINDOWS": "[24h, 7d]",
            "HELPSCOUT_WINDOWS__1__EVERY": "15m",
        },
        {
            "HELPSCOUT_WINDOWS__0__RANGE": "24h",
            "HELPSCOUT_WINDOWS__1": "7d",
            "HELPSCOUT_WINDOWS__1__EVERY": "15m",
        },
    ):
        assert with_account(**environ).windows == (
            Window("24h", timedelta(minutes=5)),
            Window("7d", timedelta(minutes=15)),
        )


def test_lists_without_commas_by_nature_may_be_separated_by_commas(write: Write) -> None:
    path = write(
        "accounts: [{api_key: k}]\nwindows: [1h, 2h, 3h]\n"
        "sla: [{name: a, statistic: response_time, target: 1h, objective: 0.9}]\n"
    )
    environ = {
        "HELPSCOUT_TYPES": "all, email",
        "HELPSCOUT_WINDOWS": "24h,7d",
        "HELPSCOUT_OFFICE_HOURS": "false,true",
        "HELPSCOUT_SLA__0__WINDOWS": "24h,7d",
        "HELPSCOUT_SLA__0__TYPES": "email",
        "HELPSCOUT_SLA__0__OFFICE_HOURS": "true",
    }
    loaded = load(path, environ)
    (objective,) = loaded.objectives
    assert loaded.types == ("all", "email")
    assert loaded.windows == (Window("24h"), Window("7d"))
    assert loaded.office_hours == (False, True)
    assert objective.windows == ("24h", "7d")
    assert (objective.types, objective.office_hours) == (("email",), (True,))


def test_a_whole_list_replaces_that_of_a_lower_source_and_an_empty_one_does(write: Write) -> None:
    path = write("accounts: [{api_key: k}]\nmailboxes: {exclude: [a, b]}\ntypes: [email, chat]\n")
    loaded = load(path, {"HELPSCOUT_MAILBOXES__EXCLUDE": "[]", "HELPSCOUT_TYPES": "[phone]"})
    assert (loaded.mailboxes.exclude, loaded.types) == ((), ("phone",))
    flag = {"types.0": "chat"}
    assert load(path, {"HELPSCOUT_TYPES": "phone, all"}, flag).types == ("chat", "all")


def test_more_than_ten_elements_stay_in_order() -> None:
    names = [f"box {i}" for i in range(12)]
    loaded = with_account(
        **{f"HELPSCOUT_MAILBOXES__INCLUDE__{i}": name for i, name in enumerate(names)}
    )
    assert loaded.mailboxes.include == tuple(names)


def test_digits_are_an_id_where_a_name_could_stand() -> None:
    loaded = with_account(
        HELPSCOUT_MAILBOXES__INCLUDE__0="1001",
        HELPSCOUT_MAILBOXES__INCLUDE__1="1001*",
        HELPSCOUT_MAILBOXES__EXCLUDE='["1001", 1002]',
        HELPSCOUT_SEGMENTS="[{name: vip, tags: [a, 1]}]",
    )
    choice = loaded.mailboxes
    assert (choice.include, choice.exclude) == ((1001, "1001*"), ("1001", 1002))
    assert loaded.segments == (Segment("vip", ("a", 1)),)


def test_a_variable_replaces_what_the_file_says_and_leaves_the_rest(write: Write) -> None:
    path = write(
        "accounts: [{name: a, api_key: k}, {name: b, api_key: l}]\n"
        "windows: [24h, 7d]\n"
        "types: [email, chat]\n"
        "web: {listen: ':1', telemetry_path: /m}\n"
        "log:\n"
    )
    loaded = load(
        path,
        {
            "HELPSCOUT_ACCOUNTS__1__BUDGET": "0.1",
            "HELPSCOUT_ACCOUNTS__2": "{name: c, api_key: m}",
            "HELPSCOUT_WINDOWS__1": "30d",
            "HELPSCOUT_WINDOWS__0__EVERY": "1h",
            "HELPSCOUT_TYPES": "[phone]",
            "HELPSCOUT_WEB": "{listen: ':2'}",
            "HELPSCOUT_LOG__LEVEL": "debug",
        },
    )
    assert [(a.name, a.budget) for a in loaded.accounts] == [("a", 0.5), ("b", 0.1), ("c", 0.5)]
    assert [w.text for w in loaded.windows] == ["24h", "30d"]
    assert loaded.windows[0].every == timedelta(hours=1)
    assert loaded.types == ("phone",)
    assert (loaded.web.listen, loaded.web.telemetry_path) == ((":2",), "/m")
    assert loaded.log.level == "debug"


def test_flag_before_variable_before_file_before_default(write: Write) -> None:
    path = write("accounts: [{api_key: k}]\nweb: {listen: ':1'}\n")
    variables = {"HELPSCOUT_WEB__LISTEN": ":2"}
    flags = {"web.listen": ":3"}
    assert load(None, {"HELPSCOUT_API_KEY": "k"}).web.listen == ("127.0.0.1:9877",)
    assert load(path, {}).web.listen == (":1",)
    assert load(path, variables).web.listen == (":2",)
    assert load(path, variables, flags).web.listen == (":3",)
    assert load(path, {}, flags).web.listen == (":3",)


def test_a_wrong_flag_is_named() -> None:
    assert refusals(ACCOUNT, overrides={"web.listen": "9877"}) == [
        '--listen: "9877" is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877'
    ]


def test_a_whole_account_can_be_given_by_flags() -> None:
    (account,) = load(
        None,
        {},
        {
            "accounts.0.client_id": "demo-1",
            "accounts.0.client_secret": "secret-1",
            "accounts.0.base_url": "http://127.0.0.1:9878/v2",
        },
    ).accounts
    assert (account.client_id, account.base_url) == ("demo-1", "http://127.0.0.1:9878/v2")


@pytest.mark.parametrize(
    ("file", "environ", "expected"),
    [
        ("client_secret_file: f", {"HELPSCOUT_CLIENT_SECRET": "s"}, Secret(text="s")),
        ("client_secret: t", {"HELPSCOUT_CLIENT_SECRET_FILE": "s"}, Secret(file=Path("s"))),
        ("client_secret: t", {"HELPSCOUT_CLIENT_SECRET": "s"}, Secret(text="s")),
    ],
)
def test_a_secret_replaces_the_twin_of_a_lower_source(
    file: str, environ: dict[str, str], expected: Secret, write: Write
) -> None:
    path = write(f"accounts: [{{client_id: abc, {file}}}]")
    assert load(path, environ).accounts[0].secret("client_secret") == expected


def test_an_app_id_replaces_the_twin_of_a_lower_source_and_makes_it_v2(write: Write) -> None:
    path = write("accounts: [{client_id_file: id, client_secret_file: s}]")
    (account,) = load(path, {}).accounts
    assert (account.api, account.client_id_file) == ("v2", path.parent / "id")
    (account,) = load(path, {"HELPSCOUT_CLIENT_ID": "abc"}).accounts
    assert (account.client_id, account.client_id_file) == ("abc", None)


def test_twins_in_variable_and_flag_are_not_a_conflict() -> None:
    environ = {"HELPSCOUT_CLIENT_ID": "abc", "HELPSCOUT_CLIENT_SECRET_FILE": "f"}
    (account,) = load(None, environ, {"accounts.0.client_secret": "s"}).accounts
    assert account.secret("client_secret") == Secret(text="s")


def test_relative_paths_start_at_the_file_or_at_the_working_directory(write: Write) -> None:
    path = write("accounts: [{api_key_file: key}]\nstate_file: a.db\nweb: {config_file: /web}\n")
    loaded = load(path, {})
    assert loaded.accounts[0].secret("api_key") == Secret(file=path.parent / "key")
    assert (loaded.state_file, loaded.web.config_file) == (path.parent / "a.db", Path("/web"))
    loaded = load(path, {"HELPSCOUT_STATE_FILE": "b.db", "HELPSCOUT_API_KEY_FILE": "key"})
    assert loaded.accounts[0].secret("api_key") == Secret(file=Path("key"))
    assert loaded.state_file == Path("b.db")


def test_an_index_is_missing_where_the_file_has_a_list(write: Write) -> None:
    path = write("accounts: [{api_key: k}]\nwindows: [7d]\n")
    assert refusals({"HELPSCOUT_WINDOWS__EVERY": "5m"}, path) == [
        "HELPSCOUT_WINDOWS__EVERY: windows is a list: an index is missing"
    ]


def test_null_unsets_a_file(write: Write) -> None:
    path = write("accounts: [{api_key: k}]\nstate_file: a.db\n")
    assert load(path, {"HELPSCOUT_STATE_FILE": "null"}).state_file is None


def test_a_wrong_section_in_the_file_is_reported_even_if_a_variable_reaches_into_it(
    write: Write,
) -> None:
    path = write("accounts: [{api_key: k}]\nweb: 5\n")
    assert refusals({"HELPSCOUT_WEB__LISTEN": ":1"}, path) == [
        f"{path}: web: takes a mapping, not 5"
    ]
    path = write("accounts: [{api_key: k}]\nwindows: {range: 7d}\n")
    assert (
        f"{path}: windows: takes a list, not a mapping: put a dash before its first key"
        in refusals({"HELPSCOUT_WINDOWS__0": "7d"}, path)
    )


def test_a_shard_of_a_stateful_set_needs_one_word() -> None:
    environ = ACCOUNT | {"HELPSCOUT_SHARD": "{index: auto, total: 3}"}
    assert load(None, environ, hostname=lambda: "exporter-2").shard == Shard(2, 3)


def test_problems_of_all_sources_are_told_together(write: Write) -> None:
    path = write("accounts: [{api_key: k, budget: 0}]\n")
    environ = {"HELPSCOUT_TYPES__1": "chat", "HELPSCOUT_LOG__LEVEL": "loud"}
    assert refusals(environ, path, {"web.listen": "x"}) == [
        f"{path}: accounts[0].budget: 0 is not a number above 0 and at most 1",
        "HELPSCOUT_TYPES__1: leaves a gap: the next free index is 0",
        '--listen: "x" is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877',
        'HELPSCOUT_LOG__LEVEL: "loud" is not one of debug, info, warning, error',
    ]


def test_a_variable_with_a_fraction_of_a_reply_is_refused_as_one() -> None:
    target = {"HELPSCOUT_SLA": "[{name: a, statistic: replies_to_resolve, objective: 0.9}]"}
    (message,) = refusals(ACCOUNT | target | {"HELPSCOUT_SLA__0__TARGET": "2.5"})
    assert message == (
        'HELPSCOUT_SLA__0__TARGET: "2.5" is not a whole number of replies from 1 to 4: '
        "write it like 3"
    )


def test_a_variable_of_white_space_counts_as_one_that_is_not_set() -> None:
    environ = {"HELPSCOUT_CLIENT_ID": "abc", "HELPSCOUT_CLIENT_SECRET": " \n"}
    assert refusals(environ) == [
        "HELPSCOUT_CLIENT_SECRET: is missing: v2 needs it, or client_secret_file"
    ]


def test_white_space_around_a_secret_or_id_in_the_file_is_dropped(write: Write) -> None:
    text = """accounts:
  - {name: a, client_id: "abc ", client_secret: "hunter2\\n", proxy_url: " http://h:1\\n"}
  - {name: b, api_key: "\\thunter2"}
"""
    first, second = load(write(text), {}).accounts
    assert first.client_id == "abc"
    assert first.client_secret == Secret("hunter2")
    assert first.proxy_url == Secret("http://h:1")
    assert second.api_key == Secret("hunter2")


@pytest.mark.parametrize(
    ("file", "environ", "flags", "listen"),
    [
        ("", {}, {}, (":9877",)),
        ("web: {telemetry_path: /m}", {}, {}, (":9877",)),
        ("web: {listen: '127.0.0.1:1'}", {}, {}, ("127.0.0.1:1",)),
        ("", {"HELPSCOUT_WEB__LISTEN": ":2"}, {}, (":2",)),
        ("", {"HELPSCOUT_WEB": "{listen: ':3'}"}, {}, (":3",)),
        ("", {"HELPSCOUT_WEB__LISTEN": "[::1]:1, :2"}, {}, ("[::1]:1", ":2")),
        ("", {"HELPSCOUT_WEB__LISTEN": "['[::1]:1', ':2']"}, {}, ("[::1]:1", ":2")),
        ("", {"HELPSCOUT_WEB__LISTEN": "systemd"}, {}, ("systemd",)),
        ("web: {listen: [':1', ':3']}", {"HELPSCOUT_WEB__LISTEN__1": ":2"}, {}, (":1", ":2")),
        ("web: {listen: [':1', ':3']}", {}, {"web.listen": ":4,:5"}, (":4", ":5")),
        ("web: {listen: ':1'}", {"HELPSCOUT_WEB__LISTEN": ":2"}, {"web.listen": ":4"}, (":4",)),
    ],
)
def test_the_images_default_of_listen_gives_way_to_everything_else(
    write: Write,
    file: str,
    environ: dict[str, str],
    flags: dict[str, str],
    listen: tuple[str, ...],
) -> None:
    environ = ACCOUNT | {"EXPORTER_LISTEN": ":9877\n"} | environ
    web = load(write(f"{file}\n"), environ, flags).web
    assert web.listen == listen


def test_a_wrong_default_of_listen_is_named() -> None:
    assert refusals(ACCOUNT | {"EXPORTER_LISTEN": "9877"}) == [
        'EXPORTER_LISTEN: "9877" is not HOST:PORT like 127.0.0.1:9877, [::1]:9877 or :9877'
    ]


def test_a_variable_replaces_the_hours_of_the_file_as_a_whole(write: Write) -> None:
    path = write(
        "accounts: [{client_id: a, client_secret: b, office_schedule: {timezone: UTC, "
        "hours: {mon-fri: 09:00-17:00}, closed: [2026-12-25]}}]\n"
    )
    hours = variable(("accounts", 0, "office_schedule", "hours"))
    schedule = load(path, {hours: "{sat: 10:00-12:00}"}).accounts[0].office_schedule
    assert schedule is not None
    assert [bool(spans) for spans in schedule.hours] == [False] * 5 + [True, False]
    assert len(schedule.closed) == 1


@pytest.mark.parametrize(
    ("suffix", "value", "message"),
    [
        ("__MON", "09:00-17:00", "set {hours} as a whole, like {{mon-fri: 09:00-17:00}}"),
        ("", "09:00-17:00", "takes a mapping, not text"),
        ("", "[mon]", "takes a mapping, not a list"),
    ],
)
def test_hours_in_a_variable_are_one_mapping(suffix: str, value: str, message: str) -> None:
    hours = variable(("accounts", 0, "office_schedule", "hours"))
    environ = ACCOUNT | AROUND["office_schedule"]
    del environ[hours]
    (line,) = refusals(environ | {hours + suffix: value})
    assert line == f"{hours}{suffix}: {message.format(hours=hours)}"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("STATE_FILE", "${HOME}/state.db", "${…} is not expanded: give the value itself"),
        ("CLIENT_ID", "$ID", "$… is not expanded: give the value itself, or client_id_file"),
        (
            "CLIENT_SECRET",
            "${SECRET:-none}",
            "${…} is not expanded: give the value itself, or client_secret_file",
        ),
    ],
)
def test_what_a_variable_expects_to_be_filled_in_is_refused(
    name: str, value: str, words: str
) -> None:
    assert f"HELPSCOUT_{name}: {words}" in refusals(ACCOUNT | {f"HELPSCOUT_{name}": value})
