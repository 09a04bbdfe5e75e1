"""The status page as people meet it: readable by everyone, true, and unmoved by hostile names."""

import re
import time
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Locator, Page, expect

from exporter.health import AccountStatus
from exporter.status import filters
from tests.page.conftest import ATTACK, SECRET, Open, Site, Visit
from tests.servers import nginx
from tests.support import Metrics, code_block, eventually, get, scrape
from tests.system.conftest import Start

RULES: dict[Literal["light", "dark"], dict[str, list[str]]] = {
    "light": {},
    "dark": {"runOnly": ["cat.color"]},
}
"""Which rules of axe: only those on colours can find something else in the other scheme."""

SITES = ("demo", "troubled", "stale", "many")
"""Each has what no other shows: all well, problems, old figures, pages. axe takes 20 s for all."""


@pytest.fixture(params=SITES)
def url(request: pytest.FixtureRequest) -> str:
    """Every site in turn."""
    return str(request.getfixturevalue(request.param))


def tile(page: Page, label: str) -> Locator:
    """The value of one of the first lines' figures."""
    return page.locator(".tile", has_text=label).locator(".big")


# --- for everyone -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("site", "path", "width"),
    [
        ("demo", "/", 1240),
        ("troubled", "/", 360),
        ("stale", "/", 1240),
        ("many", "/?q=number+499", 700),
    ],
    ids=SITES,
)
def test_everyone_can_read_it(
    visit: Open, request: pytest.FixtureRequest, site: str, path: str, width: int
) -> None:
    with visit(request.getfixturevalue(site), width=width) as seen:
        page = seen.go(path)
        page.locator("#legend summary").click()
        for scheme, rules in RULES.items():
            page.emulate_media(color_scheme=scheme)
            report = Axe().run(page, options=rules)
            assert report.violations_count == 0, f"{scheme}: {report.generate_report()}"


def test_nothing_is_wider_than_the_screen(visit: Open, url: str) -> None:
    with visit(url) as seen:
        page = seen.go()
        for width in (320, 360, 640, 700, 1021, 1100):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_keyboard_reaches_everything_in_order(visit: Open, troubled: str) -> None:
    with visit(troubled) as seen:
        page = seen.go()
        every = page.locator("a[href], button:visible, input:visible, select, summary")
        expected = [
            element.text_content() or element.get_attribute("id") for element in every.all()
        ]
        reached = []
        for _ in expected:
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            outline = focused.evaluate("one => getComputedStyle(one).outlineStyle")
            assert outline != "none"
            reached.append(focused.text_content() or focused.get_attribute("id"))
        assert reached == expected
        assert reached[0] == "Skip to the figures"


def test_the_skip_link_leads_to_the_figures(visit: Open, demo: str) -> None:
    with visit(demo) as seen:
        page = seen.go()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.locator(":focus").text_content() == "All types"


def test_it_has_landmarks_and_tables_with_headers(visit: Open, demo: str) -> None:
    with visit(demo) as seen:
        page = seen.go()
        landmarks: list[Literal["banner", "main", "contentinfo", "search"]]
        landmarks = ["banner", "main", "contentinfo", "search"]
        for role in landmarks:
            expect(page.get_by_role(role)).to_have_count(1)
        table = page.get_by_role("table", name="Figures by mailbox and window")
        expect(table.get_by_role("columnheader")).to_have_count(8)
        expect(table.get_by_role("rowheader", name="24h")).to_have_count(5)


# --- what it says -------------------------------------------------------------------------------


def test_the_demo_is_well_and_the_page_says_what_the_metrics_say(visit: Open, demo: str) -> None:
    names = ("helpscout_first_response_time_seconds", "helpscout_sla_compliance_ratio")

    def at_one_time(seen: Visit) -> tuple[Page, Metrics] | None:
        """Return page and metrics, None where an answer may have arrived between the two."""
        metrics, page = scrape(demo), seen.go("/?type=email")
        time.sleep(1.5)  # the metrics are assembled once a second
        was, now = (
            {s: value for s, value in each.by_series().items() if s[0] in names}
            for each in (metrics, scrape(demo))
        )
        return (page, metrics) if was == now else None

    with visit(demo) as seen:
        page, metrics = eventually(lambda: at_one_time(seen), "a moment without news")
        promised = {
            sample.labels["sla"]: sample.value
            for sample in metrics.named("helpscout_sla_objective_ratio")
        }
        shares = metrics.named("helpscout_sla_compliance_ratio")
        missed = sum(share.value < promised[share.labels["sla"]] for share in shares)
        asked = len(metrics.named("helpscout_report_success"))
        first_line = f"The exporter works; {missed} of {len(shares)} SLAs are missed"
        assert missed, "the demo's team misses some of what it promised"
        expect(page.get_by_role("heading", level=1)).to_have_text(first_line)
        expect(tile(page, "Accounts up")).to_have_text("1 of 1")
        expect(tile(page, "Reports fresh")).to_have_text(f"{asked} of {asked}")
        figures = page.get_by_role("table", name="Figures by mailbox and window")
        for mailbox_id, text in (("all", "All mailboxes"), ("1003", "#1003")):
            rows = figures.locator("tbody", has=page.get_by_text(text, exact=True)).locator("tr")
            for row, window in zip(rows.all(), ("24h", "7d", "30d"), strict=True):
                found = metrics.named(
                    "helpscout_first_response_time_seconds",
                    mailbox_id=mailbox_id,
                    type="email",
                    window=window,
                )
                if not found:  # on a Sunday there may be no mail to answer
                    assert window == "24h"
                    continue
                text = row.locator(".value").first.inner_text()
                assert text == filters.duration(found[0].value)


def test_refused_credentials_are_reported_with_what_to_do_and_no_secret(
    visit: Open, troubled: str
) -> None:
    with visit(troubled) as seen:
        page = seen.go()
        expect(page.get_by_role("heading", level=1)).to_have_text(
            re.compile("^Account refused does not work")
        )
        problem = page.locator(".problems li", has_text="refuses the credentials")
        expect(problem).to_contain_text("account refused, all of its reports · since")
        expect(problem).to_contain_text("Runbook HelpscoutAccountRefused")
        expect(problem.locator("time")).to_have_count(1)
        expect(tile(page, "Accounts up")).to_have_text("1 of 2")
        assert SECRET not in page.content()


def test_an_ill_mailbox_is_reported_with_help_scouts_words_and_reference(
    visit: Open, troubled: str
) -> None:
    with visit(troubled) as seen:
        page = seen.go("/?q=1001")
        problem = page.locator(".problems li", has_text="ref-4711")
        expect(problem).to_contain_text("Support #1001 (")
        expect(problem.locator("q")).to_have_text(re.compile(r"HTTP 404: <b>gone</b>$"))
        row = page.locator("table.figures tbody tr").first
        expect(row).to_contain_text("never arrived")
        expect(row.locator(".value")).to_have_count(0)


def test_hostile_names_are_text(visit: Open, troubled: str) -> None:
    with visit(troubled) as seen:
        page = seen.go()
        expect(page.locator(".mailbox bdi", has_text="alert(1)")).to_have_text([ATTACK] * 2)
        expect(page.locator(".mailbox bdi", has_text="Desk <b>")).to_have_text(["Desk <b>"] * 2)
        assert page.locator("main script, main img, main b").count() == 0
        page = seen.go(f"/?q={ATTACK}")
        expect(page.locator("#q")).to_have_value(ATTACK)
        expect(page.locator("table.figures tbody")).to_have_count(1)
        page = seen.go("/?q=<script>alert(3)</script>")
        expect(page.locator(".empty")).to_contain_text("<script>alert(3)</script>")


def test_a_stale_figure_is_not_shown_as_if_it_were_fresh(visit: Open, stale: str) -> None:
    with visit(stale) as seen:
        page = seen.go()
        expect(page.get_by_role("heading", level=1)).to_have_text("Some reports do not arrive")
        row = page.locator("tr.stale").first
        expect(row.locator(".age")).to_have_text("stale 16\N{NO-BREAK SPACE}min ago")
        expect(row.locator(".value")).to_have_count(0)
        expect(row.locator("td").first).to_have_text("–too old to be shown")
        late = page.locator("tr.late")
        expect(late.locator(".age")).to_have_text("last try failed just now")
        assert late.locator(".value").count() == 5


# --- finding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_500_mailboxes_are_paged_and_found_by_name(visit: Open, many: str, script: bool) -> None:
    with visit(many, script=script) as seen:
        page = seen.go("/?type=email")
        expect(page.locator("table.figures tbody")).to_have_count(25)
        expect(page.locator(".pager")).to_contain_text("1 to 25 of 500 mailboxes")
        page.get_by_role("link", name="Next").click()
        expect(page.locator(".pager")).to_contain_text("26 to 50 of 500 mailboxes")
        expect(page.locator("[aria-current]")).to_have_text("Email")
        page.get_by_label("Name or id of a mailbox").fill("NUMBER 49")
        page.keyboard.press("Enter")
        expect(page.locator("table.figures tbody")).to_have_count(11)
        expect(page.locator("[aria-current]")).to_have_text("Email")
        page.get_by_role("link", name="Show all").click()
        expect(page.locator(".pager")).to_contain_text("of 500 mailboxes")


def test_every_cut_can_be_chosen(visit: Open, troubled: str) -> None:
    with visit(troubled) as seen:
        page = seen.go()
        for name in ("Email", "Office hours", "vip"):
            page.get_by_role("link", name=name, exact=True).click()
        chosen = page.locator("[aria-current]").all_text_contents()
        assert chosen == ["hostile", "Email", "Office hours", "vip"]
        assert page.locator("tr.fresh").count() > 0
        page.get_by_role("link", name="refused", exact=True).click()
        expect(page.locator(".empty")).to_be_visible()


def test_every_link_leads_somewhere(visit: Open, demo: str) -> None:
    with visit(demo) as seen:
        page = seen.go()
        links = own_links(page)
    assert {"./metrics", "./config", "./-/healthy", "./-/ready", "./?type=chat"} <= links
    assert {get(urljoin(f"{demo}/", link)).status_code for link in links} == {200}


def own_links(page: Page) -> set[str]:
    """What the page's links to the exporter itself say."""
    return {link.get_attribute("href") or "" for link in page.locator("a[href^='.']").all()}


# --- below a prefix that a proxy strips -----------------------------------------------------------


@pytest.fixture
def prefixed(start: Start, tmp_path: Path, changing: Site) -> str:
    """The page of `changing` through the proxy that the documentation shows."""
    block = code_block("status page: nginx", "docs/status-page.md")
    inside = changing.url.removeprefix("http://")
    return nginx(start, tmp_path, block.replace("127.0.0.1:9877", inside)) + "/helpscout"


def test_below_a_prefix_every_link_and_the_search_stay_inside(visit: Open, prefixed: str) -> None:
    with visit(prefixed) as seen:
        page = seen.go()
        links = own_links(page)
        page.get_by_role("link", name="Chat", exact=True).click()
        expect(page).to_have_url(f"{prefixed}/?type=chat")
        page.get_by_label("Name or id of a mailbox").fill("Supp")
        page.get_by_role("button", name="Find").click()
        expect(page).to_have_url(f"{prefixed}/?type=chat&q=Supp")
        page.get_by_role("link", name="Show all").click()
        expect(page).to_have_url(f"{prefixed}/?type=chat")
        page.get_by_role("link", name="Configuration").first.click()
        expect(page).to_have_url(f"{prefixed}/config")
    assert {get(urljoin(f"{prefixed}/", link)).status_code for link in links} == {200}


@pytest.mark.parametrize("path", ["/", ""])
def test_below_a_prefix_it_refreshes_itself(
    visit: Open, prefixed: str, changing: Site, path: str
) -> None:
    with visit(prefixed) as seen:
        seen.page.clock.install()
        page = seen.go(path)
        changing.world.wait(31)
        page.clock.fast_forward(31_000)
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:30:31 UTC, every 30 s")
        assert seen.requested[-1] == f"{prefixed}/"


def test_a_prefix_without_its_slash_is_mended_where_the_proxy_does_not_redirect(
    visit: Open, start: Start, tmp_path: Path, changing: Site
) -> None:
    block = f"location = /helpscout {{ proxy_pass {changing.url}/; }}"
    block += f"location /helpscout/ {{ proxy_pass {changing.url}/; }}"
    url = nginx(start, tmp_path, block) + "/helpscout"
    with visit(url) as seen:
        page = seen.go("?type=chat")
        expect(page).to_have_url(f"{url}/?type=chat")
        page.get_by_role("link", name="Email", exact=True).click()
        expect(page).to_have_url(f"{url}/?type=email")
        seen.requested.clear()  # the first one had no slash


# --- the little script --------------------------------------------------------------------------


def test_it_refreshes_itself_and_keeps_what_one_was_at(visit: Open, changing: Site) -> None:
    with visit(changing.url, width=600) as seen:
        seen.page.clock.install()
        page = seen.go()
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:30:00 UTC, every 30 s")
        page.locator("#legend summary").click()
        page.locator("#q").fill("Supp")
        page.evaluate("window.scrollTo(0, 400)")
        changing.world.wait(31)
        page.clock.fast_forward(31_000)
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:30:31 UTC, every 30 s")
        expect(page.locator("tr.fresh .age").first).to_have_text("31\N{NO-BREAK SPACE}s ago")
        assert page.locator("#legend").evaluate("one => one.open") is True
        assert page.locator(":focus").get_attribute("id") == "q"
        assert page.locator("#q").input_value() == "Supp"
        assert page.evaluate("window.scrollY") == 400
        assert page.title() == "All is well · Help Scout exporter"


def test_it_can_be_paused_and_resumed(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        seen.page.clock.install()
        page = seen.go()
        page.get_by_role("button", name="Pause").click()
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:30:00 UTC, paused")
        before = len(seen.requested)
        page.clock.fast_forward(120_000)
        assert len(seen.requested) == before
        changing.world.wait(120)
        page.get_by_role("button", name="Resume").click()
        page.clock.fast_forward(1)
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:32:00 UTC, every 30 s")


def test_it_rests_while_nobody_looks(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        seen.page.clock.install()
        page = seen.go()
        hide = "is => { Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
        hide += " document.dispatchEvent(new Event('visibilitychange')); }"
        page.evaluate(hide, True)
        expect(page.locator("#refresh-state")).to_contain_text("paused while hidden")
        before = len(seen.requested)
        page.clock.fast_forward(120_000)
        assert len(seen.requested) == before
        changing.world.wait(120)
        page.evaluate(hide, False)
        page.clock.fast_forward(1)
        expect(page.locator("#refresh-state")).to_have_text("Updated 14:32:00 UTC, every 30 s")


def test_it_says_so_when_the_exporter_does_not_answer(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        seen.page.clock.install()
        page = seen.go()
        changing.server.stop()
        page.clock.fast_forward(31_000)
        expect(page.locator("#refresh-state")).to_have_text(
            "Updated 14:30:00 UTC, no answer, trying again"
        )
        expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
        # The browser itself writes that the connection was refused.
        assert all("ERR_CONNECTION_REFUSED" in line for line in seen.console)
        seen.console.clear()


def test_after_an_error_of_a_proxy_the_page_is_back_with_its_title_and_icon(
    visit: Open, changing: Site
) -> None:
    with visit(changing.url) as seen:
        seen.page.clock.install()
        page = seen.go()
        state, icon = page.locator("#refresh-state"), page.locator("link[rel=icon]")
        before = icon.get_attribute("href")
        page.route("**/*", lambda route: route.fulfill(status=502, body="<main>Bad Gateway</main>"))
        page.clock.fast_forward(31_000)
        expect(state).to_have_text("Updated 14:30:00 UTC, no answer, trying again")
        expect(page.get_by_role("heading", level=1)).to_have_text("All is well")
        page.unroute("**/*")
        changing.world.store.set_status("acme", AccountStatus(False, frozenset({"unreachable"})))
        changing.world.wait(62)
        page.clock.fast_forward(31_000)
        expect(state).to_have_text("Updated 14:31:02 UTC, every 30 s")
        expect(page).to_have_title("Account acme does not work · Help Scout exporter")
        assert icon.get_attribute("href") != before
        seen.console.clear()  # the browser itself writes of the 502


def test_without_script_it_is_whole(visit: Open, demo: str) -> None:
    with visit(demo, script=False) as seen:
        page = seen.go()
        expect(page.locator("#refresh-state")).to_contain_text("As of ")
        expect(page.locator("#refresh-toggle")).to_be_hidden()
        expect(page.locator("table.figures tbody")).to_have_count(5)
