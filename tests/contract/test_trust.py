"""Whom we trust and which way we take: an account's own keys, then the environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from exporter.helpscout import trust
from exporter.helpscout.account import Api, Secret
from exporter.helpscout.errors import Unreachable
from exporter.helpscout.transport import Transport
from exporter.helpscout.trust import Trust
from tests.contract.conftest import Certificate, Desk, Serve
from tests.contract.scripted import Asked, Reply, Service, as_json, reply

HOST = "helpscout.test"


def answer(_asked: Asked) -> Reply:
    return reply(b"{}")


@pytest.fixture
def certificate(certificates: Callable[[str], Certificate]) -> Certificate:
    return certificates("IP:127.0.0.1")


@pytest.fixture
def service(serve: Serve, certificate: Certificate) -> Service:
    return serve(answer, certificate.context)


@pytest.fixture
def other(certificates: Callable[[str], Certificate]) -> Path:
    """An authority that did not sign the service's certificate."""
    return certificates("DNS:other.test").path


def asked(url: str, **given: object) -> int:
    with closing(Transport(url, 2, 5, **given)) as transport:  # type: ignore[arg-type]
        return transport.send("GET", url, auth=None).status


def failure(url: str, **given: object) -> Unreachable:
    with pytest.raises(Unreachable) as caught:
        asked(url, **given)
    return caught.value


# --- certificate authorities --------------------------------------------------------------------


def test_without_any_setting_the_usual_authorities_are_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust, "DEFAULT_CA_BUNDLE_PATH", DEFAULT_CA_BUNDLE_PATH)
    assert len(Trust.of(None, {}).context().get_ca_certs()) > 50


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_file_of_the_environment_is_trusted_and_looked_for_once(
    service: Service, certificate: Certificate, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, f"{certificate.path}\n")
    with closing(Transport(service.url, 2, 5)) as transport:
        monkeypatch.delenv(name)
        assert transport.send("GET", service.url, auth=None).status == 200


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_every_certificate_of_a_directory_is_trusted(
    service: Service,
    certificate: Certificate,
    other: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    (tmp_path / "a.pem").write_text("nothing of the kind\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other.crt").write_bytes(other.read_bytes())
    (tmp_path / "own.crt").write_bytes(certificate.path.read_bytes())
    joined = ":".join(["/no/such/folder", str(tmp_path)]) if name == "SSL_CERT_DIR" else tmp_path
    monkeypatch.setenv(name, str(joined))
    assert asked(service.url) == 200


def test_a_file_alone_adds_the_folders_of_the_system_as_in_go(
    service: Service,
    certificate: Certificate,
    other: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own.crt").write_bytes(certificate.path.read_bytes())
    monkeypatch.setattr(trust, "_SYSTEM_DIRECTORIES", f"{tmp_path}:/no/such/folder")
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    assert asked(service.url) == 200
    monkeypatch.setenv("SSL_CERT_DIR", "/no/such/folder")
    assert "not trusted" in str(failure(service.url))


def test_ca_file_overrides_requests_variables_and_those_override_gos(
    service: Service, certificate: Certificate, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert asked(service.url) == 200
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other))
    assert "not trusted" in str(failure(service.url))
    assert asked(service.url, ca_file=certificate.path) == 200
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.path))
    assert "not trusted" in str(failure(service.url, ca_file=other))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ": No such file or directory"),
        ("", " holds no certificates in PEM form, or a damaged one"),
        ("no certificate\n", " holds no certificates in PEM form, or a damaged one"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            " holds no certificates in PEM form, or a damaged one",
        ),
    ],
)
@pytest.mark.parametrize("key", ["ca_file", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_file_that_cannot_be_used_is_named_with_its_key_until_it_can(
    service: Service,
    certificate: Certificate,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    content: str | None,
    words: str,
) -> None:
    file = tmp_path / "corp.pem"
    if content is not None:
        file.write_text(content)
    if key != "ca_file":
        monkeypatch.setenv(key, str(file))
    own = file if key == "ca_file" else None
    with closing(Transport(service.url, 2, 5, ca_file=own)) as transport:
        with pytest.raises(Unreachable) as caught:
            transport.send("GET", service.url, auth=None)
        assert caught.value.cause == f"{key}: {file}{words}"
        assert caught.value.step == "trust"
        file.write_bytes(certificate.path.read_bytes())
        assert transport.send("GET", service.url, auth=None).status == 200


# --- proxies ------------------------------------------------------------------------------------


def test_proxy_url_overrides_the_environment_for_the_loopback_too(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(answer)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    for host in (HOST, "127.0.0.1"):
        assert asked(f"http://{host}/v2", proxy=Secret(proxy.url)) == 200
    assert [each.target for each in proxy.asked] == [f"http://{HOST}/v2", "http://127.0.0.1/v2"]


def test_the_proxy_is_told_its_password_and_nobody_else_is(serve: Serve) -> None:
    proxy = serve(lambda _asked: reply(b"", 407))
    url = proxy.url.replace("://", "://user:p%40ss@")
    assert asked(f"http://{HOST}", proxy=Secret(url)) == 407
    assert proxy.asked[0].header("Proxy-Authorization") == "Basic dXNlcjpwQHNz"
    error = failure(f"https://{HOST}", proxy=Secret(url))
    assert (error.step, error.host) == ("proxy", f"127.0.0.1:{proxy.port}")
    assert not re.search("p(%40|@)ss", f"{error!r} {error} {error.__cause__}")


def test_a_file_of_a_proxy_is_read_at_each_call(serve: Serve, tmp_path: Path) -> None:
    first, second = serve(answer), serve(answer)
    file = tmp_path / "proxy"
    file.write_text(f"{first.url}\n")
    with closing(Transport(f"http://{HOST}", 2, 5, proxy=Secret(file=file))) as transport:
        transport.send("GET", f"http://{HOST}", auth=None)
        file.write_text(second.url)
        transport.send("GET", f"http://{HOST}", auth=None)
        assert (len(first.asked), len(second.asked)) == (1, 1)
        file.unlink()
        with pytest.raises(Unreachable, match=r"^proxy_url_file: .*/proxy: No such file"):
            transport.send("GET", f"http://{HOST}", auth=None)


def test_of_the_two_variables_that_name_a_bundle_the_one_of_requests_counts() -> None:
    environ = {"CURL_CA_BUNDLE": "/curl.pem", "REQUESTS_CA_BUNDLE": "/requests.pem"}
    assert Trust.of(None, environ).file == Path("/requests.pem")
    assert Trust.of(Path("/ours.pem"), environ).file == Path("/ours.pem")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks5h://user:s3cret@h:1080", "is a SOCKS proxy, which is not supported"),
        ("ftp://s3cret@h", "is not a URL like http://proxy.example.com:3128"),
        ("http://h:s3cret", "is not a URL like http://proxy.example.com:3128"),
        ("http://[s3cret", "is not a URL like http://proxy.example.com:3128"),
        ("http://user:s3/cret@h", "is not a URL like"),
        ("http://user:s3#cret@h", "is not a URL like"),
        ("http://h :1", "is not a URL like"),
        ("http://h:1/s3cret", "must end after the port"),
    ],
)
@pytest.mark.parametrize("source", ["proxy_url", "the proxy of the environment"])
def test_a_proxy_that_cannot_be_used_is_said(
    monkeypatch: pytest.MonkeyPatch, source: str, url: str, words: str
) -> None:
    given = {"proxy": Secret(url)} if source == "proxy_url" else {}
    monkeypatch.setenv("https_proxy", url)
    error = failure(f"https://{HOST}", **given)
    assert str(error).startswith(f"{source} {words}")
    assert "s3" not in str(error)
    assert error.step == "proxy"


def test_a_proxy_of_the_environment_may_lack_its_scheme(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(answer)
    monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
    assert asked(f"http://{HOST}") == 200
    assert len(proxy.asked) == 1


# --- both generations, login included -----------------------------------------------------------


def listed(api: Api) -> Reply:
    if api == "v1":
        return as_json({"items": [], "page": 1, "pages": 1})
    return as_json({"_embedded": {"mailboxes": []}, "page": {"number": 1, "totalPages": 1}})


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_every_call_of_an_account_trusts_its_authorities(
    desk: Desk, serve: Serve, certificate: Certificate, other: Path, api: Api
) -> None:
    desk.answer = lambda _asked: listed(api)
    service = serve(desk.service.script, certificate.context)
    base_url = f"{service.url}/{api}"
    assert desk.client(api, base_url=base_url, ca_file=certificate.path).mailboxes() == []
    assert len(service.asked) == (1 if api == "v1" else 2)
    with pytest.raises(Unreachable, match="not trusted"):
        desk.client(api, base_url=base_url, ca_file=other).mailboxes()
    with pytest.raises(Unreachable, match=r": ca_file: /no/such\.pem: No such"):
        desk.client(api, base_url=base_url, ca_file=Path("/no/such.pem")).mailboxes()


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_every_call_of_an_account_goes_through_its_proxy(desk: Desk, api: Api) -> None:
    desk.answer = lambda _asked: listed(api)
    base_url = f"http://{HOST}/{api}"
    proxy = Secret(desk.service.url.replace("://", "://user:pw@"))
    assert desk.client(api, base_url=base_url, proxy_url=proxy).mailboxes() == []
    assert len(desk.service.asked) == (1 if api == "v1" else 2)
    assert all(each.target.startswith(base_url) for each in desk.service.asked)
    assert all(each.header("Proxy-Authorization") for each in desk.service.asked)
