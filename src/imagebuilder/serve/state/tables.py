"""The schema as the migrations leave it, for queries. Its meaning is said there."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()


def _text(name: str, length: int) -> Column[str]:
    return Column(name, String(length), nullable=False)


def _number(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


NODES = Table(
    "nodes",
    METADATA,
    Column("id", String(24), primary_key=True),
    Column("identity", String(128), nullable=False, unique=True),
    _text("mac", 17),
    _text("uuid", 36),
    _text("serial", 128),
    _text("vendor", 128),
    _text("model", 128),
    _text("address", 64),
    _number("first_seen"),
    _number("last_seen"),
)

BOOTS = Table(
    "boots",
    METADATA,
    Column("id", String(24), primary_key=True),
    Column("node_id", String(24), ForeignKey("nodes.id"), nullable=False),
    _number("number"),
    Column("token", String(64), nullable=False, unique=True),
    _text("profile", 128),
    _text("image", 256),
    _text("manifest", 71),
    _number("started"),
    _number("changed"),
    _text("phase", 32),
    _text("code", 32),
    Column("log", Text, nullable=False),
    _text("agent", 64),
    _text("layer", 64),
)

LAYERS = Table(
    "layers",
    METADATA,
    Column("node_id", String(24), ForeignKey("nodes.id"), primary_key=True),
    _text("sha256", 64),
    Column("files", Text, nullable=False),
)

EVENTS = Table(
    "events",
    METADATA,
    Column("boot_id", String(24), ForeignKey("boots.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _text("phase", 32),
    _number("ms"),
    _number("bytes"),
    _number("retries"),
    _text("code", 32),
    _text("detail", 1024),
)

JOURNAL = Table(
    "journal",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _number("at"),
    _text("who", 128),
    _text("what", 32),
    _text("which", 256),
    _text("detail", 1024),
)

OUTPUT = Table(
    "task_output",
    METADATA,
    Column("task_id", String(24), ForeignKey("tasks.id"), primary_key=True),
    Column("stream", String(6), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)

TASKS = Table(
    "tasks",
    METADATA,
    Column("id", String(24), primary_key=True),
    Column("node_id", String(24), ForeignKey("nodes.id"), nullable=False),
    Column("number", BigInteger, nullable=False, unique=True),
    _text("kind", 16),
    Column("command", Text, nullable=False),
    _number("timeout"),
    _number("retries"),
    _text("state", 16),
    _text("destroys", 16),
    _number("created"),
    _number("given"),
    _number("finished"),
    _number("status"),
    Column("stdout", Text, nullable=False),
    Column("stderr", Text, nullable=False),
)
