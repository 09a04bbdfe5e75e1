"""The answers that Help Scout publishes, in both dialects, and what /metrics makes of them."""

import base64
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support import TESTDATA, Metrics, eventually, round_is_complete, scrape
from tests.system.conftest import Start, address

ANSWERS = TESTDATA / "answers"
TOKEN = "369dbb08be58430086d2f8bd832bc1eb"  # of v2_token.json
FILES = {
    "/v1/mailboxes.json": "v1_mailboxes.json",
    "/v1/reports/productivity.json": "v1_productivity.json",
    "/v2/oauth2/token": "v2_token.json",
    "/v2/mailboxes": "v2_mailboxes.json",
    "/v2/reports/productivity": "v2_productivity.json",
}
CREDENTIALS = {
    "v1": {"HELPSCOUT_API_KEY": "the-key"},
    "v2": {"HELPSCOUT_CLIENT_ID": "the-id", "HELPSCOUT_CLIENT_SECRET": "the-secret"},
}
REPORTS = {"v1": 2, "v2": 3}  # the published mailboxes, and all of them together

FIGURES = [
    ("helpscout_response_time_seconds", {}, 2278004),
    ("helpscout_first_response_time_seconds", {}, 2278004),
    ("helpscout_handle_time_seconds", {}, 6),
    ("helpscout_resolution_time_seconds", {}, 2278004),
    ("helpscout_replies_to_resolve", {}, 2),
    ("helpscout_conversations", {}, 1),
    ("helpscout_conversations_resolved", {}, 1),
    ("helpscout_conversations_resolved_on_first_reply", {}, 0),
    ("helpscout_conversations_closed", {}, 94),
    ("helpscout_replies_sent", {}, 62),
    ("helpscout_resolved_on_first_reply_ratio", {}, 0),
    ("helpscout_response_time_distribution_seconds_bucket", {"le": "172800.0"}, 0),
    ("helpscout_response_time_distribution_seconds_bucket", {"le": "+Inf"}, 1),
    ("helpscout_handle_time_distribution_seconds_bucket", {"le": "60.0"}, 1),
    ("helpscout_replies_to_resolve_distribution_bucket", {"le": "1.0"}, 0),
    ("helpscout_replies_to_resolve_distribution_bucket", {"le": "2.0"}, 1),
    ("helpscout_resolution_time_by_replies_seconds", {"replies": "2"}, 2278004),
]
COMPARED = [
    ("helpscout_previous_response_time_seconds", {}, 4850412),
    ("helpscout_previous_first_response_time_seconds", {}, 5138913),
    ("helpscout_previous_handle_time_seconds", {}, 0),
    ("helpscout_previous_replies_to_resolve", {}, 2.2142857142857144),
    ("helpscout_previous_conversations", {}, 14),
    ("helpscout_previous_resolved_on_first_reply_ratio", {}, 5 / 14),
    ("helpscout_change_ratio", {"statistic": "response_time"}, -0.5303483497896673),
    ("helpscout_change_ratio", {"statistic": "conversations_closed"}, 94 / 49 - 1),
]


class _Published(BaseHTTPRequestHandler):
    """Answers with a published file, given the credentials."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        basic = "Basic " + base64.b64encode(b"the-key:X").decode()
        wanted = basic if self.path.startswith("/v1/") else f"Bearer {TOKEN}"
        self._answer(self.headers["Authorization"] == wanted)

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        known = {
            "grant_type": ["client_credentials"],
            "client_id": ["the-id"],
            "client_secret": ["the-secret"],
        }
        self._answer(form == known)

    def _answer(self, known: bool) -> None:
        file = FILES.get(urlsplit(self.path).path)
        body = (ANSWERS / file).read_bytes() if known and file else b"{}"
        self.send_response(401 if not known else 200 if file else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    """The address of a server with the published answers in both dialects."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Published)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def shown(
    published: str, start_once: Start, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[tuple[str, bool], Metrics]:
    """What /metrics shows, by generation of the API and whether `compare` is on."""
    config = tmp_path_factory.mktemp("published") / "config.yml"
    addresses = {}
    for api, credentials in CREDENTIALS.items():
        for compare in (False, True):
            path = _config(config.with_name(f"{api}-{compare}.yml"), compare)
            environ = {"HELPSCOUT_BASE_URL": f"{published}/{api}", **credentials}
            process = start_once("serve", "--config", str(path), environ=environ)
            addresses[api, compare] = address(process)
    for (api, _), url in addresses.items():
        eventually(lambda: round_is_complete(url, REPORTS[api]), f"a round at {url}")  # noqa: B023
    return {which: scrape(url) for which, url in addresses.items()}


def _config(path: Path, compare: bool) -> Path:
    path.write_text(
        f"""
types: [all]
windows: [30d]
compare: {str(compare).lower()}
folders: {{enabled: false}}
web: {{listen: "127.0.0.1:0"}}
"""
    )
    return path


@pytest.mark.parametrize(("name", "labels", "value"), FIGURES)
@pytest.mark.parametrize("api", ["v1", "v2"])
@pytest.mark.parametrize("compare", [False, True], ids=["alone", "compared"])
def test_the_published_figures_are_on_the_metrics_page(
    shown: Mapping[tuple[str, bool], Metrics],
    api: str,
    compare: bool,
    name: str,
    labels: dict[str, str],
    value: float,
) -> None:
    samples = shown[api, compare].named(name, **labels)
    assert [sample.value for sample in samples] == [value] * REPORTS[api]


@pytest.mark.parametrize(("name", "labels", "value"), COMPARED)
@pytest.mark.parametrize("api", ["v1", "v2"])
def test_with_compare_the_preceding_period_and_the_change_are_there(
    shown: Mapping[tuple[str, bool], Metrics],
    api: str,
    name: str,
    labels: dict[str, str],
    value: float,
) -> None:
    samples = shown[api, True].named(name, **labels)
    assert [sample.value for sample in samples] == pytest.approx([value] * REPORTS[api])


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_change_from_zero_has_no_sample(
    shown: Mapping[tuple[str, bool], Metrics], api: str
) -> None:
    assert shown[api, True].named("helpscout_previous_handle_time_seconds")
    assert not shown[api, True].named("helpscout_change_ratio", statistic="handle_time")


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_without_compare_nothing_is_said_of_the_preceding_period(
    shown: Mapping[tuple[str, bool], Metrics], api: str
) -> None:
    names = {sample.name for sample in shown[api, False].samples}
    assert "helpscout_response_time_seconds" in names
    assert not {name for name in names if "previous" in name or "change" in name}


def test_the_published_mailboxes_are_there_under_their_names(
    shown: Mapping[tuple[str, bool], Metrics],
) -> None:
    names = {
        api: {
            (sample.labels["mailbox_id"], sample.labels["mailbox"])
            for sample in shown[api, False].named("helpscout_mailbox_info")
        }
        for api in ("v1", "v2")
    }
    assert names == {
        "v1": {("1234", "My Mailbox")},
        "v2": {("1", "Help Scout"), ("2", "Help Pioneer")},
    }
