"""Several listeners, and systemd's sockets, of the real program."""

import re
import socket
import sys
from pathlib import Path
from urllib.parse import urljoin

from exporter.probe import ask_url
from tests.servers import nginx
from tests.support import EXPORTER, Ended, Run, code_block, eventually, get, reserved_port
from tests.system.conftest import Desk, Start

AS_SYSTEMD = """
import os, socket, sys
made = socket.create_server(("127.0.0.1", int(sys.argv[1])))
made = made.detach()
if made != 3:
    os.dup2(made, 3)
    os.close(made)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Starts a program as systemd does: with a listening socket as descriptor 3."""


def free() -> str:
    return f"127.0.0.1:{reserved_port()}"


def test_all_listeners_answer_and_healthcheck_asks_the_first(
    start: Start, run: Run, running_desk: Desk
) -> None:
    one, other = free(), free()
    environ = running_desk.environ("v2", HELPSCOUT_WEB__LISTEN=f"{one}, {other}")
    process = start("serve", environ=environ)
    assert process.says(r'"url": "http://([^"]+)"') == one
    for address in (one, other):
        process.says(f'"url": "(http://{address})"')
        assert ask_url(f"http://{address}/-/healthy") == (200, "healthy")
    assert run("healthcheck", environ=environ) == Ended(0, "healthy\n", "")


def test_flags_replace_the_configured_listeners(start: Start, running_desk: Desk) -> None:
    one, other, configured = free(), free(), free()
    environ = running_desk.environ("v2", HELPSCOUT_WEB__LISTEN=configured)
    process = start("serve", "--listen", one, "--listen", other, environ=environ)
    process.says(f'"url": "(http://{other})"')
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(configured.rpartition(":")[2]))) != 0
    for address in (one, other):
        assert ask_url(f"http://{address}/-/healthy") == (200, "healthy")


def test_the_socket_of_systemd_is_served_and_healthcheck_says_what_it_needs(
    start: Start, run: Run, running_desk: Desk
) -> None:
    address = free()
    environ = running_desk.environ("v2", HELPSCOUT_WEB__LISTEN="systemd")
    port = address.rpartition(":")[2]
    command = (sys.executable, "-c", AS_SYSTEMD, port, *EXPORTER)
    process = start("serve", command=command, environ=environ)
    assert process.says(r'"url": "http://([^"]+)"') == address
    url = f"http://{address}/-/healthy"
    assert ask_url(url) == (200, "healthy")
    lost, asked = run("healthcheck", environ=environ), run("healthcheck", "--url", url)
    assert (lost.code, lost.stdout) == (1, "")
    assert "web.listen is systemd" in lost.stderr
    assert "--url" in lost.stderr
    assert asked == Ended(0, "healthy\n", "")


def test_without_systemd_its_sockets_are_missed_in_one_line(run: Run, running_desk: Desk) -> None:
    process = run("serve", environ=running_desk.environ("v2", HELPSCOUT_WEB__LISTEN="systemd"))
    assert process.code == 1
    assert "web.listen: systemd has passed no socket to this process" in process.stderr


def test_behind_a_proxy_that_strips_a_prefix_every_link_is_answered_and_the_log_says_where(
    start: Start, running_desk: Desk, tmp_path: Path
) -> None:
    outside = "https://tools.example.com/helpscout"
    environ = running_desk.environ("v2", HELPSCOUT_WEB__EXTERNAL_URL=outside)
    process = start("serve", environ=environ)
    inside = process.says(r'"url": "http://([^"]+)"')
    process.says(f'"url": "({outside}/)", "event": "reached from outside"')
    block = code_block("status page: nginx", "docs/status-page.md")
    block = block.replace("127.0.0.1:9877", inside)
    prefix = nginx(start, tmp_path, block) + "/helpscout"

    redirected = get(prefix)
    assert (redirected.status_code, redirected.headers["Location"]) == (301, f"{prefix}/")
    eventually(lambda: get(f"{prefix}/-/ready").ok, "it is ready")
    html = get(f"{prefix}/").text
    own = {each for each in re.findall(r'(?:href|action)="([^"#:]*)"', html) if each}
    assert {"./metrics", "./config", "./-/healthy", "./-/ready", "./"} <= own
    for link in own:
        url = urljoin(f"{prefix}/", link)
        assert url.startswith(f"{prefix}/")
        assert get(url).status_code == 200, url
    assert f'<link rel="canonical" href="{outside}/">' in html
