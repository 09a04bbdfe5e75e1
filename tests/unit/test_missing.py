"""What is configured and cannot be found: tags, folders and mailboxes."""

from dataclasses import replace

import pytest
from structlog.testing import LogCapture

from exporter.helpscout.errors import NotThere, ServiceFailed
from exporter.missing import folders_of, mailbox_patterns, tags_of
from exporter.poller.names import Names
from exporter.questions import Learned, Mailbox, Reading
from exporter.selection import Segment
from exporter.settings import load
from exporter.settings.collectors import FoldersSettings, ProductivitySettings
from tests.readings import AT, reading
from tests.unit.poller_world import BOXES, DAY, REPORT, SETTINGS, World

TAGS = {"vip": 5, "Refund": 6, "refund": 7, "bug": 8, "Invoice": 10}


@pytest.mark.parametrize(
    ("tag", "ids", "what"),
    [
        ("vip", (5,), None),
        ("VIP", (5,), None),
        ("refund", (7,), None),
        (
            "REFUND",
            None,
            "no tag is called 'REFUND', and several differ in case only: Refund, refund",
        ),
        ("vipp", None, "no tag is called 'vipp'; is it 'vip'?"),
        ("invoise", None, "no tag is called 'invoise'; is it 'Invoice'?"),
        ("nothing like it", None, "no tag is called 'nothing like it'"),
        (8, (8,), None),
        (9, (9,), "no tag has the id 9"),
    ],
)
def test_a_tag_is_found_or_named(
    tag: str | int, ids: tuple[int, ...] | None, what: str | None
) -> None:
    segment = Segment("cut", (tag,))
    assert segment.tag_ids(TAGS) == ids
    found = [str(each) for each in tags_of((segment,), TAGS, {})]
    assert found == ([] if what is None else [f"segments[0] (cut): {what}"])


def test_the_latest_answer_says_which_id_a_tag_has_and_where_a_folder_is() -> None:
    names = Names()
    for said in (Learned({"vip": 5}, {7: "1"}), Learned({"vip": 9}, {7: "2"})):
        names.add(said, tags=True, folders=True)
    assert (names.known.tags, names.known.folders) == ({"vip": 9}, {7: "2"})


def test_globs_and_ids_of_mailboxes_are_named_with_their_place() -> None:
    environ = {
        "HELPSCOUT_API_KEY": "key",
        "HELPSCOUT_MAILBOXES": '{include: ["Supp*", "Slaes", 3], exclude: ["Test*"]}',
        "HELPSCOUT_SLA": "[{name: a, statistic: response_time, target: 1h, objective: 0.9,"
        " mailboxes: [Support, 4, all, '*']}]",
    }
    found = mailbox_patterns(load(None, environ).named_mailboxes, BOXES)
    assert [str(each) for each in found] == [
        "mailboxes.include[1]: no mailbox has a name like Slaes",
        "mailboxes.include[2]: no mailbox has the id 3",
        "mailboxes.exclude[0]: no mailbox has a name like Test*",
        "sla[0].mailboxes[1]: no mailbox has the id 4",
    ]
    assert (
        list(mailbox_patterns(load(None, {"HELPSCOUT_API_KEY": "key"}).named_mailboxes, [])) == []
    )


def segments(world: World) -> dict[str, bool]:
    return dict(world.store.snapshot().accounts["acme"].segments)


def said(log: LogCapture) -> list[str]:
    return [e["what"] for e in log.entries if e["event"].startswith("configured and not found")]


def test_a_tag_that_is_not_there_is_said_once_and_shown(log: LogCapture) -> None:
    cuts = (Segment("gold", ("gold",)), Segment("vip", ("VIP",)))
    world = World(replace(SETTINGS, windows=(DAY,), segments=cuts))
    world.discover(BOXES[:1])
    world.poller.tick(world.now)
    assert segments(world) == {"gold": False, "vip": False}
    assert said(log) == [], "nothing has said yet which tags there are"
    world.answer(tags={"vip": 5})
    world.answer_all()
    for _ in range(3):
        world.poller.tick(world.now)
    line = "segments[0] (gold): no tag is called 'gold'"
    assert said(log) == [line]
    assert segments(world) == {"gold": False, "vip": True}
    assert [str(each) for each in world.store.missing()["acme"]] == [line]
    world.now += 400
    world.answer(tags={"vip": 5, "gold": 9})
    world.poller.tick(world.now)
    assert segments(world) == {"gold": True, "vip": True}
    assert world.store.missing() == {}


def test_where_no_answer_names_a_tag_it_is_said_after_the_first_round(log: LogCapture) -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", ("vip",)),)))
    world.discover(BOXES[:1])
    world.answer_all()
    world.poller.tick(world.now)
    assert said(log) == ["segments[0] (vip): no tag is called 'vip'"]


def test_a_tag_that_is_renamed_goes_on_by_its_id_and_is_said(log: LogCapture) -> None:
    world = World(replace(SETTINGS, windows=(DAY,), segments=(Segment("vip", ("vip",)),)))
    world.discover(BOXES[:1])
    world.answer(tags={"vip": 5})
    world.answer_all()
    world.now += 301
    for _ in range(2):
        while (job := world.job()) is None:
            world.now += 1
        world.poller.answered(job, reading(REPORT, {"premium": 5}))
    world.poller.tick(world.now)
    assert segments(world) == {"vip": False}
    assert "tag 'vip' is now called 'premium'" in said(log)[0]
    fresh = {k.segment for k, e in world.store.snapshot().entries.items() if e.reading is not None}
    assert fresh == {"", "vip"}


def test_folders_that_every_mailbox_refuses_are_missing_and_those_of_one_are_not() -> None:
    cuts = (Segment("ours", folders=(1,)), Segment("nobody's", folders=(2,)))
    world = World(replace(SETTINGS, windows=(DAY,), segments=cuts))
    world.discover(BOXES)
    while (job := world.job()) is not None:
        assert job.question is not None
        key = job.question.key
        if key.segment == "nobody's" or (key.segment and key.mailbox_id == "2"):
            world.poller.failed(job, NotThere("HTTP 404", status=404))
        else:
            world.poller.answered(job, reading(REPORT))
    world.poller.tick(world.now)
    assert segments(world) == {"ours": True, "nobody's": False}
    assert [str(each) for each in world.store.missing()["acme"]] == [
        "segments[1] (nobody's): Help Scout refuses its folders (2)"
    ]


@pytest.mark.parametrize(
    ("segment", "folders", "what"),
    [
        (Segment("cut", ("vip",), (1,)), None, "Help Scout refuses its folders (1)"),
        (Segment("cut", ("vip",), (1, 2)), {1}, "no selected mailbox has the folder 2"),
        (Segment("cut", ("vip",)), None, None),
        (Segment("cut", ("nothing like it",), (1,)), None, None),
    ],
    ids=["refused", "missing", "by tags alone", "of a missing tag"],
)
def test_why_help_scout_refuses_a_segment_is_said_once(
    segment: Segment, folders: set[int] | None, what: str | None
) -> None:
    found = [str(each) for each in folders_of((segment,), TAGS, folders, {"cut"})]
    assert found == ([] if what is None else [f"segments[0] (cut): {what}"])


def answered(world: World, folders: dict[str, tuple[int, ...]], rounds: int = 1) -> None:
    """Answer what is due; each mailbox has these folders, and one that is left out refuses."""
    for _ in range(rounds):
        while (job := world.job()) is not None and job.question is not None:
            key = job.question.key
            if key.collector != "folders":
                world.poller.answered(job, reading(REPORT, {"vip": 5}))
            elif key.mailbox_id in folders:
                ids = dict.fromkeys(folders[key.mailbox_id], key.mailbox_id)
                world.poller.answered(job, Reading((), AT, Learned(folders=ids)))
            else:
                world.poller.failed(job, NotThere("HTTP 404", status=404))
        world.poller.tick(world.now)
        world.now += 301


QUEUES = replace(SETTINGS, windows=(DAY,), folders=FoldersSettings())


def test_a_folder_that_no_mailbox_has_is_said_once_all_folders_are_known(log: LogCapture) -> None:
    cuts = (Segment("ours", folders=(11, 21)), Segment("lost", ("vip",), (11, 99)))
    world = World(replace(QUEUES, segments=cuts))
    world.discover(BOXES)
    answered(world, {"1": (10, 11), "2": (20, 21)})
    assert segments(world) == {"ours": True, "lost": False}
    assert said(log) == ["segments[1] (lost): no selected mailbox has the folder 99"]
    answered(world, {"1": (10, 11, 99), "2": (20, 21)})
    assert segments(world) == {"ours": True, "lost": True}
    assert world.store.missing() == {}


def test_while_the_folders_of_one_mailbox_are_not_known_none_is_said_to_be_missing() -> None:
    world = World(replace(QUEUES, segments=(Segment("cut", folders=(99,)),)))
    world.discover(BOXES)
    answered(world, {"1": (10, 11)}, rounds=2)
    assert segments(world) == {"cut": True}
    assert world.store.missing() == {}


def test_folders_are_not_kept_where_no_segment_names_one() -> None:
    world = World(replace(QUEUES, segments=(Segment("vip", ("vip",)),)))
    world.discover(BOXES)
    answered(world, {"1": (10,), "2": (20,)})
    assert world.poller._names.known.folders == {}


def test_an_account_that_asks_nothing_by_segment_misses_none() -> None:
    cuts = (Segment("vip", ("vip",)), Segment("lost", folders=(99,)))
    off = ProductivitySettings(enabled=False)
    world = World(replace(QUEUES, segments=cuts, productivity=off))
    world.discover(BOXES)
    answered(world, {"1": (10,), "2": (20,)}, rounds=2)
    assert segments(world) == {}
    assert world.store.missing() == {}


def test_a_passing_failure_does_not_add_or_remove_a_folder() -> None:
    cuts = (Segment("nobody's", folders=(2,)),)
    world = World(replace(SETTINGS, windows=(DAY,), segments=cuts))
    world.discover(BOXES)
    errors = [NotThere("HTTP 404", status=404), ServiceFailed("HTTP 503", status=503)]
    while (job := world.job()) is not None and job.question is not None:
        if job.question.key.segment and errors:
            world.poller.failed(job, errors.pop(0))
        elif job.question.key.segment:
            break
        else:
            world.poller.answered(job, reading(REPORT))
    world.poller.tick(world.now)
    assert segments(world) == {"nobody's": False}


def test_what_one_account_lacks_another_may_have() -> None:
    world = World()
    globs = ("Sup*", "Other", "Sales")  # the last is of the first account alone
    named = [(f"mailboxes.include[{place}]", glob) for place, glob in enumerate(globs)]
    patterns = list(mailbox_patterns(named, BOXES))
    others = list(mailbox_patterns(named, [Mailbox(9, "Sup 2", "s", "e")]))
    world.store.set_accounts(["acme", "globex"])
    world.store.set_missing("acme", [], patterns)
    assert world.store.missing() == {}, "the other account's mailboxes are not known"
    world.store.set_missing("globex", [], others)
    assert [each.where for each in world.store.missing()[""]] == ["mailboxes.include[1]"]
