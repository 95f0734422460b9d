"""What the server remembers, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection, inspect, text

from databases import postgresql
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.listing import history_of, list_machines
from imagebuilder.serve.nodes import parse_nodes
from imagebuilder.serve.state import boots, journal, nodes, output, tasks
from imagebuilder.serve.state.boots import KEEP, Choice, Event
from imagebuilder.serve.state.counts import count
from imagebuilder.serve.state.database import Database, migrations
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.overview import boots_since, glances, open_tasks, recent_tasks
from imagebuilder.serve.state.tables import METADATA
from imagebuilder.serve.state.tasks import Order, Result

NODE = Identity(mac="52:54:00:12:34:56", vendor="Dell Inc.")
CHOICE = Choice("inventory", "discovery:stable", f"sha256:{'0' * 64}")
RECORD = [Event("kernel", 100, detail="6.1"), Event("fetch", 4000, bytes=38_000_000, retries=1)]


@pytest.fixture(scope="module")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    with postgresql(tmp_path_factory.mktemp("postgresql")) as new_database:
        yield new_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.root)])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "folder/state.sqlite")
    url: str = request.getfixturevalue("new_database")()
    return url


@pytest.fixture
def database(where: str) -> Iterator[Database]:
    database = Database(where)
    yield database
    database.close()


def begin(database: Database, now: int, identity: Identity = NODE) -> str:
    def work(connection: Connection) -> str:
        return boots.begin(connection, nodes.see(connection, identity, "10.0.0.7", now).id, CHOICE, now)

    return database.do(work)


def report(database: Database, token: str, events: list[Event], now: int) -> int:
    def work(connection: Connection) -> int:
        boot = boots.of_token(connection, token)
        assert boot
        return boots.report(connection, boot, events, now)

    return database.do(work)


def test_tables_are_what_the_migrations_made(database: Database) -> None:
    def columns(connection: Connection) -> dict[str, dict[str, str]]:
        inspector = inspect(connection)
        return {
            table: {column["name"]: f"{column['type']} {column['nullable']}" for column in inspector.get_columns(table)}
            for table in inspector.get_table_names()
            if table != "schema_version"
        }

    expected = {
        name: {column.name: f"{column.type} {column.nullable}" for column in table.columns}
        for name, table in METADATA.tables.items()
    }
    # SQLite takes no NOT NULL of a primary key for granted.
    found = database.do(columns)
    for table in found:
        for column in METADATA.tables[table].primary_key.columns:
            found[table][column.name] = expected[table][column.name]
    # Bytes have a name of their own in each database; SQLite does not care for names.
    found["task_output"]["data"] = expected["task_output"]["data"]
    assert found == expected


def test_database_is_brought_up_to_date_once_and_a_newer_one_is_left_alone(where: str, database: Database) -> None:
    begin(database, 100)
    again = Database(where)
    assert len(again.do(nodes.all_nodes)) == 1
    again.do(lambda connection: connection.execute(text("UPDATE schema_version SET version = 99")))
    again.close()
    with pytest.raises(UserError, match=f"is of version 99, and this program knows {len(migrations())}"):
        Database(where)


def test_node_is_one_however_often_it_asks(database: Database) -> None:
    begin(database, 100)
    begin(database, 200, replace(NODE, vendor="", serial="CN7"))
    (node,) = database.do(nodes.all_nodes)
    assert (node.first_seen, node.last_seen, node.address) == (100, 200, "10.0.0.7")
    assert node.identity == replace(NODE, serial="CN7")
    assert database.do(lambda connection: nodes.find(connection, NODE)) == node


def test_reports_add_to_a_boot_what_is_new(database: Database) -> None:
    token = begin(database, 100)
    assert [report(database, token, RECORD[:1], 110), report(database, token, RECORD, 120)] == [1, 1]
    assert report(database, token, RECORD, 130) == 0
    history = history_of(NODE, database)
    assert history.events == tuple(RECORD)
    assert (history.boots[0].phase, history.boots[0].changed, history.boots[0].choice) == ("fetch", 120, CHOICE)


def test_boot_is_known_by_its_token_alone_which_is_not_in_the_database(database: Database) -> None:
    first, second = begin(database, 100), begin(database, 200)
    boot = database.do(lambda connection: boots.of_token(connection, second))
    assert boot
    assert boot.number == 2
    assert first not in repr(database.do(boots.last_boots)) + repr(history_of(NODE, database))
    assert database.do(lambda connection: boots.of_token(connection, "0" * 24)) is None


def test_old_boots_are_forgotten_with_their_events(database: Database) -> None:
    first = begin(database, 0)
    report(database, first, RECORD, 1)
    for now in range(1, KEEP + 3):
        begin(database, now)
    assert [boot.number for boot in history_of(NODE, database).boots] == list(range(KEEP + 3, 3, -1))
    count = text("SELECT count(*) FROM events")
    assert database.do(lambda connection: connection.execute(count).scalar()) == 0


def test_machines_are_listed_with_what_they_get_and_how_far_they_came(database: Database) -> None:
    roster = parse_nodes(
        "profiles: {a: {image: x}, b: {image: y}}\n"
        'nodes:\n  - {mac: "52:54:00:12:34:56", name: r1, profile: a}\n  - {serial: CN8, profile: a}\ndefault: b\n',
        Path("nodes.yml"),
    )
    token = begin(database, 100)
    database.do(lambda connection: nodes.see(connection, Identity(serial="CN9"), "", 50))
    report(database, token, [*RECORD, Event("error", 5000, code="NB-DIGEST", detail="damaged")], 120)
    rows = [(m.machine, m.name, m.image, m.state, m.seen) for m in list_machines(roster, database)]
    assert rows == [
        (NODE.mac, "r1", "x:latest", "failed: NB-DIGEST", 100),
        ("CN9", "", "y:latest", "discovered", 50),
        ("serial=CN8", "", "x:latest", "", 0),
        ("all others", "", "y:latest", "", 0),
    ]


def test_every_node_is_counted_in_one_state(database: Database) -> None:
    for number, phase in enumerate(["", "kernel", "switch", "error"]):
        identity = Identity(serial=f"CN{number}")
        begin(database, 1, identity)
        token = begin(database, 2, identity)
        if phase:
            report(database, token, [Event(phase, 1, code="NB-RAM" if phase == "error" else "")], 3)
    database.do(lambda connection: nodes.see(connection, NODE, "", 4))
    ready = begin(database, 5, Identity(serial="CN9"))
    boot = database.do(lambda connection: boots.of_token(connection, ready))
    assert boot
    database.do(partial(boots.admit_agent, boot=boot, now=6))
    counts = database.do(count)
    assert set(counts.nodes) == {"discovered", "script", "booting", "started", "failed", "ready"}
    assert set(counts.nodes.values()) == {1}
    assert set(counts.tasks.values()) == {0}


def test_made_up_nodes_do_not_fill_the_disk(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST", 1)
    begin(database, 1)
    begin(database, 2)
    with pytest.raises(ImagebuilderError, match="no more are taken"):
        begin(database, 3, Identity(serial="x"))


def test_transaction_that_fails_leaves_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        nodes.see(connection, NODE, "", 1)
        raise ImagebuilderError("half way")

    with pytest.raises(ImagebuilderError, match="half way"):
        database.do(work)
    assert database.do(nodes.all_nodes) == []


def test_two_programs_write_at_once(where: str, database: Database) -> None:
    begin(database, 0)

    def write(start: int) -> None:
        own = Database(where)
        for now in range(start, start + 20):
            begin(own, now)
        own.close()

    threads = [threading.Thread(target=write, args=(start,)) for start in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (node,) = database.do(nodes.all_nodes)
    assert node.last_seen in (119, 219)


@pytest.mark.parametrize("where", ["mysql://x/y", "postgresql://nobody@/x?host=/none", "/dev/null/x"], ids=str)
def test_database_that_cannot_be_had_is_the_users_mistake(where: str) -> None:
    with pytest.raises(UserError):
        Database(where)


def test_task_goes_its_way_once(database: Database) -> None:
    begin(database, 1)
    (node,) = database.do(nodes.all_nodes)
    first, second, third = (
        database.do(partial(tasks.queue, node_id=node.id, order=order, now=10))
        for order in (Order("a", timeout=5), Order("b", timeout=5, retries=1), Order("c"))
    )

    def given(now: int) -> str | None:
        task = database.do(lambda connection: tasks.next_for(connection, node.id, now))
        return task.id if task else None

    def over(now: int) -> dict[str, str]:
        found = database.do(lambda connection: tasks.ended(connection, [first, second, third], now))
        return {task.id: task.state for task in found}

    assert given(20) == first
    assert database.do(lambda connection: tasks.finish(connection, node.id, first, Result(0, "é", ""), 21))
    assert not database.do(lambda connection: tasks.finish(connection, node.id, second, Result(0, "", ""), 21))
    assert given(30) == second
    assert over(30 + 5 + 120) == {first: "done"}
    assert over(30 + 5 + 121) == {first: "done"}
    assert given(200) == second
    database.do(lambda connection: tasks.withdraw(connection, [second, third], 201))
    assert over(200 + 5 + 121) == {first: "done", second: "lost", third: "withdrawn"}
    assert given(400) is None


def test_what_a_command_says_is_read_piece_by_piece_and_anew_when_it_is_begun_again(database: Database) -> None:
    begin(database, 1)
    (node,) = database.do(nodes.all_nodes)
    task_id = database.do(partial(tasks.queue, node_id=node.id, order=Order("x", retries=1), now=10))

    def news(*known: int) -> list[output.News]:
        return database.do(lambda connection: output.news_of(connection, [Position(task_id, *known)], 20))

    def say(start: int, data: bytes) -> bool:
        return database.do(lambda connection: output.take(connection, task_id, "stdout", start, data))

    def give(now: int) -> None:
        database.do(lambda connection: tasks.next_for(connection, node.id, now))

    assert news() == []
    give(11)
    assert [say(0, b"\0\xff"), say(1, b"\xffab"), say(5, b"gap"), say(2, b"ab")] == [True, True, False, True]
    assert news() == [News(task_id, 11, b"\0\xffab")]
    assert news(11, 2) == [News(task_id, 11, b"ab")]
    assert news(11, 4) == []
    give(12)
    assert news(11, 4) == [News(task_id, 12)]
    say(0, b"again")
    database.do(lambda connection: tasks.finish(connection, node.id, task_id, Result(0, "again", ""), 13))
    assert news(12) == [News(task_id, 12, b"again")]
    (last,) = news(12, 5)
    assert last.ended
    assert last.ended.result.stdout == "again"


def test_journal_keeps_the_last_entries_whatever_is_in_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "KEEP", 2)
    for number in range(3):
        deed = journal.Deed("me", "erase", f"node {number}", "x" * 5000)
        database.do(partial(journal.note, deed=deed, now=number))
    found = database.do(lambda connection: journal.entries(connection, 10))
    assert [(entry.at, entry.which, len(entry.detail)) for entry in found] == [(2, "node 2", 1024), (1, "node 1", 1024)]


def test_old_tasks_are_forgotten_and_new_ones_are_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_KEEP", 2)
    begin(database, 1)
    (node,) = database.do(nodes.all_nodes)
    for number in range(5):
        task_id = database.do(partial(tasks.queue, node_id=node.id, order=Order(str(number)), now=number))
        if number < 4:
            database.do(partial(tasks.withdraw, task_ids=[task_id], now=1))
    kept = database.do(lambda connection: tasks.listed(connection, 1, node.id))
    assert [task.order.command for task in kept] == ["4", "3", "2"]


def test_nodes_at_a_glance_are_each_with_its_last_boot(database: Database) -> None:
    begin(database, 1000)
    report(database, begin(database, 2000), RECORD, 2005)
    database.do(lambda connection: nodes.see(connection, Identity(serial="7"), "10.0.0.8", 3000))
    lonely, node = database.do(glances)
    assert (lonely.identity.serial, lonely.boot) == ("7", None)
    boot = node.boot
    assert boot
    assert (boot.number, boot.started, boot.changed, boot.phase) == (2, 2000, 2005, "fetch")
    assert (boot.ms, boot.bytes) == (4000, 38_000_000)
    assert database.do(lambda connection: glances(connection, {node.id, "none"})) == [node]


def test_boots_over_time_are_counted_by_outcome(database: Database) -> None:
    failed = [Event("error", 1, code="NB-DHCP")]
    for now, events in ((100, []), (1000, failed), (1010, failed), (1950, RECORD)):
        report(database, begin(database, now), events, now)
    told = database.do(lambda connection: boots_since(connection, 900, 900))
    assert told == [(900, "failed", 2), (1800, "other", 1)]


def test_tasks_at_a_glance_have_no_output_and_are_counted(database: Database) -> None:
    begin(database, 1)
    (node,) = database.do(nodes.all_nodes)
    ids = [database.do(partial(tasks.queue, node_id=node.id, order=Order("x" * n), now=n)) for n in (1, 300)]
    database.do(partial(tasks.next_for, node_id=node.id, now=400))
    new, old = database.do(lambda connection: recent_tasks(connection, 10))
    assert ([new.id, old.id], len(new.command), old.state) == (ids[::-1], 200, "given")
    assert database.do(open_tasks) == {"queued": 1, "given": 1}
    assert database.do(lambda connection: recent_tasks(connection, 1, kind="command", node_id=node.id)) == [new]
