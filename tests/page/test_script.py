"""The page's script: a refresh leaves everything as the reader has it, or changes nothing."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.page.conftest import Open, Site, Visit
from tests.unit.status_facts import World

SEGMENTS = ", ".join(f"{{name: cut-{number}, tags: [{number}]}}" for number in range(1, 13))
LISTED = {"HELPSCOUT_SEGMENTS": f"[{SEGMENTS}]"}
"""Too many segments for links."""
LINKED = {
    "HELPSCOUT_TYPES": "[all, email]",
    "HELPSCOUT_OFFICE_HOURS": "[false, true]",
    "HELPSCOUT_SEGMENTS": "[{name: Email, tags: [1]}]",
}
"""Several links lead to the whole page, and two are called Email."""


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site of one test alone, of this configuration."""
    found = Site(World(environ=getattr(request, "param", {})))
    yield found
    found.server.stop()


def opened(seen: Visit, path: str = "/") -> Page:
    """Open the page under a clock that is set by hand."""
    seen.page.clock.install()
    page = seen.go(path)
    says(page, "Updated 14:30:00 UTC, every 30 s")
    return page


def says(page: Page, text: str) -> None:
    expect(page.locator("#refresh-state")).to_have_text(text)


def refresh(page: Page, site: Site) -> None:
    """Let the time of a refresh come, and wait for its figures."""
    site.world.wait(31)
    page.clock.fast_forward(31_000)
    says(page, "Updated 14:30:31 UTC, every 30 s")


def focused(page: Page) -> object:
    """What has the focus, and that it is on the page."""
    return page.evaluate(
        "(one => one.isConnected && [one.tagName, one.id, one.textContent, one.href || ''])"
        "(document.activeElement)"
    )


@pytest.mark.parametrize(
    ("site", "chosen"),
    [
        (LINKED, "#legend summary"),
        (LINKED, "nav[aria-label='Time'] a >> nth=0"),
        (LINKED, "nav[aria-label='Segment'] a >> nth=1"),
        (LINKED, "#find"),
        (LINKED, "#refresh-toggle"),
        (LISTED, "#choose-segment"),
    ],
    indirect=["site"],
    ids=["summary", "one address", "one text", "button", "elsewhere", "list"],
)
def test_what_has_the_focus_keeps_it(visit: Open, site: Site, chosen: str) -> None:
    with visit(site.url) as seen:
        page = opened(seen)
        page.locator(chosen).focus()
        before = focused(page)
        refresh(page, site)
        assert focused(page) == before


@pytest.mark.parametrize("site", [LISTED], indirect=True)
def test_what_is_being_chosen_and_typed_stays_and_what_is_closed_stays_closed(
    visit: Open, site: Site
) -> None:
    with visit(site.url) as seen:
        page = opened(seen)
        page.locator("#choose-segment").select_option("cut-7")
        page.locator("#q").fill("Support")
        page.evaluate("document.getElementById('q').setSelectionRange(2, 5)")
        refresh(page, site)
        assert page.locator("#choose-segment").input_value() == "cut-7"
        selection = "(one => [one.value, one.selectionStart, one.selectionEnd])"
        assert page.evaluate(f"{selection}(document.activeElement)") == ["Support", 2, 5]
        assert page.locator("#legend").evaluate("one => one.open") is False


def test_the_focus_does_not_move_what_is_looked_at(visit: Open, changing: Site) -> None:
    with visit(changing.url, width=600) as seen:
        page = opened(seen)
        page.locator("#q").focus()
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        before = page.evaluate("window.scrollY")
        assert before > 0
        refresh(page, changing)
        assert page.evaluate("window.scrollY") == before


def test_an_answer_that_arrives_after_a_pause_changes_nothing(visit: Open, changing: Site) -> None:
    held: list[Route] = []
    with visit(changing.url) as seen:
        page = opened(seen)
        page.route("**/*", lambda route: held.append(route))
        changing.world.wait(31)
        with page.expect_request("**/*"):
            page.clock.fast_forward(31_000)
        page.get_by_role("button", name="Pause").click()
        with page.expect_response("**/*"):
            held[0].continue_()
        page.unroute("**/*")
        # By the time that another answer is read the first one has been.
        page.evaluate("fetch('./metrics').then((answer) => answer.text())")
        says(page, "Updated 14:30:00 UTC, paused")
        assert page.locator("main").get_attribute("data-as-of") == "14:30:00 UTC"


def test_whoever_resumes_sees_what_is_there_now(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        page = opened(seen)
        page.get_by_role("button", name="Pause").click()
        changing.world.wait(5)
        page.get_by_role("button", name="Resume").click()
        page.clock.fast_forward(1)
        says(page, "Updated 14:30:05 UTC, every 30 s")


def test_a_page_of_somebody_else_is_no_answer(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        page = opened(seen)
        page.route("**/*", lambda route: route.fulfill(body="<p>Please log in"))
        page.clock.fast_forward(31_000)
        says(page, "Updated 14:30:00 UTC, no answer, trying again")
        expect(page.get_by_role("heading", level=1)).to_have_text("All is well")


def test_an_answer_that_hangs_is_given_up_after_15_seconds(visit: Open, changing: Site) -> None:
    held: list[Route] = []
    with visit(changing.url) as seen:
        # The browser's own timer does not go by the clock that is set by hand.
        seen.page.add_init_script(
            "AbortSignal.timeout = (milliseconds) => { const given = new AbortController();"
            " setTimeout(() => given.abort(), milliseconds); return given.signal; };"
        )
        page = opened(seen)
        page.route("**/*", lambda route: held.append(route))
        with page.expect_request("**/*"):
            page.clock.fast_forward(31_000)
        page.clock.fast_forward(14_000)
        says(page, "Updated 14:30:00 UTC, every 30 s")
        page.clock.fast_forward(1_000)
        says(page, "Updated 14:30:00 UTC, no answer, trying again")
        held[0].abort()


def test_no_cache_answers_whatever_a_proxy_says_of_it(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        page = opened(seen)
        with page.expect_request("**/*") as asked:
            page.clock.fast_forward(31_000)
        assert asked.value.all_headers()["cache-control"] == "no-cache"


def test_whoever_comes_and_goes_has_one_refresh_at_its_time(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        page = opened(seen)
        for _ in range(3):
            page.clock.fast_forward(5_000)
            page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        before = len(seen.requested)
        page.clock.fast_forward(14_000)
        assert len(seen.requested) == before
        changing.world.wait(31)
        # The clock goes on by itself, so what comes too late would come at last.
        with page.expect_request("**/*", timeout=8_000):
            page.clock.fast_forward(2_000)
        says(page, "Updated 14:30:31 UTC, every 30 s")
        assert len(seen.requested) == before + 1


def test_a_mended_address_keeps_its_query_and_its_place(visit: Open, changing: Site) -> None:
    with visit(changing.url) as seen:
        served = f"{changing.url}/helpscout"
        inside = seen.page.request.get(changing.url)
        seen.page.route(f"{served}?*", lambda route: route.fulfill(response=inside))
        page = seen.go("/helpscout?type=chat#legend")
        expect(page).to_have_url(f"{served}/?type=chat#legend")
