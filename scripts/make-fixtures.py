#!/usr/bin/env python3
"""Writes fixtures/: one history of a small invented shop as a log in each format, and the rows it must end in.

    scripts/make-fixtures.py            write the files
    scripts/make-fixtures.py --check    say which files differ from what would be written, and fail if any does

The rows come from the model at the end of this file, a few dozen lines that know the history and the rules of what
must come out, and nothing of how Tidemark works it out. Python 3, standard library only.
"""

import base64
import json
import os
import random
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal

ROOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures")

# MySQL's enum, and therefore Canal's indexes: "1" is created.
STATES = ["created", "paid", "shipped", "delivered", "completed", "cancelled", "refunded", "returned", "on_hold"]
TRANSITIONS = {
    "created": ["paid", "cancelled"],
    "paid": ["shipped", "refunded"],
    "shipped": ["delivered", "returned"],
    "delivered": ["completed", "returned"],
}
MILESTONES = ["paid", "shipped", "delivered", "completed"]
ORDER_COLUMNS = ["id", "customer", "status", "amount", "version", "gift", "note", "extra", "channel", "coupon", "placed_at"]
ADDED_COLUMNS = ["channel", "coupon"]
ITEM_COLUMNS = ["tenant_id", "id", "sku", "quantity", "price", "updated_at"]
KEYS = {"orders": ["id"], "items": ["tenant_id", "id"], "carriers": ["id"]}
START = int(datetime(2026, 3, 1, 9, tzinfo=timezone.utc).timestamp())
SECOND = 1_000_000


# ---------------------------------------------------------------------------------------------------------- history

@dataclass
class Change:
    """One row change as the source made it; `rekey` is an update that changes the key."""
    kind: str
    table: str
    before: dict | None
    after: dict | None
    time: int
    group: int
    # How many of the source's columns the row had: the table grows in the middle of the log.
    is_wide: bool
    # What is wrong with the message: nothing, "value", "key", "sequence" or "cut".
    flaw: str | None = None
    snapshot: str | None = None
    number: int = 0
    # Place in its group, and whether it is the group's last.
    row: int = 0
    is_last: bool = True
    # Repeats the change of that number, byte for byte.
    repeats: int | None = None


@dataclass
class Control:
    """A message that is no row."""
    kind: str
    time: int
    number: int = 0


class History:
    def __init__(self):
        self.steps, self.rows, self.versions = [], {}, {}
        self.now, self.group, self.is_wide, self.open_group = START, 0, False, False

    def tick(self, seconds=41):
        if not self.open_group:
            self.now += seconds
            self.group += 1

    def add(self, kind, table, before, after, flaw=None, snapshot=None, skew=0):
        self.tick()
        change = Change(kind, table, before, after, self.now + skew, self.group, self.is_wide, flaw, snapshot)
        change.number = len(self.steps)
        self.steps.append(change)
        return change

    def control(self, kind):
        self.tick(7)
        self.steps.append(Control(kind, self.now, len(self.steps)))

    def together(self, *changes):
        """Changes of one statement: one message in Canal, one transaction elsewhere, one clock reading everywhere."""
        self.tick()
        self.open_group = True
        first = len(self.steps)
        for change in changes:
            change()
        self.open_group = False
        made = self.steps[first:]
        for row, change in enumerate(made):
            change.row, change.is_last = row, row == len(made) - 1

    def resend(self, count):
        """A failed acknowledgement: the last messages come again, as they were."""
        for change in [step for step in self.steps if isinstance(step, Change) and step.is_last][-count:]:
            again = Change(**{**change.__dict__})
            again.repeats, again.number = change.number, len(self.steps)
            self.steps.append(again)

    # Orders

    def create(self, id, customer, amount, note=None, extra=None, gift=False, channel="web", coupon=None):
        version = self.versions.get(id, 0) + 1
        row = dict(id=id, customer=customer, status="created", amount=amount, version=version, gift=gift, note=note,
                   extra=extra, channel=channel, coupon=coupon, placed_at=self.now + (0 if self.open_group else 41))
        self.rows[id], self.versions[id] = row, version
        return self.add("insert", "orders", None, dict(row))

    def exists(self, id, customer, status, version, amount, note=None):
        """An order from before the log; a snapshot may tell of it."""
        self.rows[id] = dict(id=id, customer=customer, status=status, amount=amount, version=version, gift=False,
                             note=note, extra=None, channel="web", coupon=None, placed_at=START - 86400 * (version + 1))
        self.versions[id] = version

    def update(self, id, flaw=None, skew=0, bump=1, **changes):
        before = dict(self.rows[id])
        self.rows[id].update(changes, version=before["version"] + bump)
        self.versions[id] = self.rows[id]["version"]
        return self.add("update", "orders", before, dict(self.rows[id]), flaw=flaw, skew=skew)

    def to(self, id, *states, **changes):
        for state in states:
            self.update(id, status=state, **changes)

    def delete(self, id):
        return self.add("delete", "orders", self.rows.pop(id), None)

    def rekey(self, id, new):
        before = self.rows.pop(id)
        self.rows[new], self.versions[new] = dict(before, id=new), before["version"]
        return self.add("rekey", "orders", before, dict(self.rows[new]))

    def snapshot(self, id, how="true", **known):
        return self.add("snapshot", "orders", None, dict(self.rows[id], **known), snapshot=how)

    # Items: ordered by a timestamp, keyed by two columns.

    def item(self, kind, tenant, id, micros=0, **changes):
        self.tick()
        was_open, self.open_group = self.open_group, True
        key = (tenant, id)
        before = dict(self.rows[key]) if key in self.rows else None
        if kind == "delete":
            del self.rows[key]
            self.add("delete", "items", before, None)
        else:
            row = dict(before or dict(tenant_id=tenant, id=id, sku=None, quantity=0, price=None))
            row.update(changes, updated_at=self.now * SECOND + micros)
            self.rows[key] = row
            self.add(kind, "items", before if kind == "update" else None, dict(row))
        self.open_group = was_open

    def move_item(self, tenant, id, new_tenant):
        """Only half of the key changes, and `updated_at` stays."""
        before = self.rows.pop((tenant, id))
        self.rows[new_tenant, id] = dict(before, tenant_id=new_tenant)
        self.add("rekey", "items", before, dict(self.rows[new_tenant, id]))

    def carrier(self, id, name):
        self.add("insert", "carriers", None, dict(id=id, name=name))


def history():
    h = History()
    # Before the log: 900 is told of by the snapshot alone; 901 goes on; 902 is deleted; 903 is snapshotted too late.
    h.exists(900, "Maren Quist", "completed", 5, "12.00")
    h.exists(901, "Ole Vinter", "paid", 2, "8.25", note="until 18:00")
    h.exists(902, "Pia Sund", "shipped", 3, "44.10")
    h.exists(903, "Rune Falk", "paid", 2, "61.80")
    h.control("snapshot-start")
    for id, how in ((900, "first"), (901, "true"), (902, "last")):
        h.snapshot(id, how)
    h.control("snapshot-end")
    h.to(901, "shipped")

    h.carrier(1, "Snail & Sons")
    h.create(1001, "Anna Berg", "19.90")
    h.create(1002, "Zoë Ångström", "129.00", note="Grüße aus Köln; 価格は税込")
    h.to(1001, "paid")
    h.control("heartbeat")
    h.create(1003, "Ned O'Neill", "5.00", note="Say \"hi\" to Ned's dog")
    h.item("insert", "nord", 1, sku="TEA-100", quantity=40, price="3.10")
    h.item("insert", "süd", 1, sku="TEA-100", quantity=12, price="3.30")
    h.to(1002, "paid")
    h.to(1001, "shipped")
    h.to(903, "shipped")
    h.snapshot(903, "incremental", status="paid", version=2)
    h.create(1004, "Łukasz Żółć", "77.77")
    h.to(1003, "cancelled")
    h.create(1005, "王小明", "3.50", note="back\\slash, tab\t, line\nbreak, /slash/")
    h.to(1004, "paid")
    h.to(1001, "delivered")
    h.create(1006, "Amélie D’Arc", "240.00", gift=True)
    h.resend(3)
    h.to(1005, "paid", "shipped")
    h.to(1004, "refunded")
    # Two versions of one order in one statement's message.
    h.together(lambda: h.update(1002, status="shipped"), lambda: h.update(1002, status="delivered"))
    # Composed above, decomposed here: two different texts.
    h.create(1007, "Zoe\u0308 A\u030angstro\u0308m", "0.00", note="100 % \u2028 of it, {not: json}, $1, NULL, \\N")
    h.to(1006, "paid", "shipped")
    h.to(1005, "returned")
    # The clock of the server that took over is an hour behind.
    h.update(1006, status="delivered", skew=-3600)
    h.to(1001, "completed")
    h.delete(902)

    # Keys: above 2^53, where a Double has no odd numbers, up to 2^64-1.
    h.create(9007199254740992, "Even Steven", "1.00")
    h.create(9007199254740993, "Odd Todd", "2.00")
    h.create(18446744073709551615, "Max Quad", "9999999999.99")
    h.to(9007199254740993, "paid", "shipped")
    h.to(18446744073709551615, "paid")
    h.control("transaction-begin")
    h.together(lambda: h.create(1015, "Bo Lind", "15.00"), lambda: h.create(1016, "Cai Rask", "16.00"),
               lambda: h.create(1014, "Dag Holm", "14.00"))
    h.control("transaction-end")
    h.together(lambda: h.update(1015, status="paid"), lambda: h.update(1014, status="paid"),
               lambda: h.update(1016, status="paid"))

    # Version 10 is above 9, also where both are strings.
    h.create(1010, "Ivy Ten", "10.10")
    h.to(1010, "paid")
    for count in range(3, 9):
        h.update(1010, note=f"gift wrap {count - 2} of 6")
    h.to(1010, "shipped", "delivered")

    # Deleted and inserted again: nothing of before the delete comes back.
    h.create(1011, "Una Wieder", "31.00", note="first life", extra={"card": "first"})
    h.to(1011, "paid", "shipped")
    h.delete(1011)
    h.create(1012, "Gone Girl", "2.50")
    h.delete(1012)
    h.create(1011, "Una Wieder", "32.00")
    h.to(1011, "paid")
    h.create(1012, "Gone Again", "2.60")
    h.delete(1012)

    # Another key for the same row: a delete, and a new entity with milestones of its own.
    h.create(1013, "Kim Tausch", "13.00")
    h.to(1013, "paid", "shipped")
    h.rekey(1013, 2013)
    h.to(2013, "delivered")

    # One statement ships three; the middle row holds an amount that numeric(12,2) does not.
    h.together(lambda: h.update(1015, status="shipped"),
               lambda: h.update(1014, status="shipped", amount="12345678901.23", flaw="value"),
               lambda: h.update(1016, status="shipped"))
    h.update(1014, status="delivered", amount="14.00")

    # Items: keys that would collide if they were glued together, and a sequence of microseconds.
    h.item("insert", "nord", 12, sku="CUP-7", quantity=3, price="11.00")
    h.item("insert", "nord1", 2, sku="CUP-8", quantity=4, price="12.50")
    h.together(lambda: h.item("update", "nord", 12, micros=250_000, quantity=2),
               lambda: h.item("update", "nord", 12, micros=250_001, quantity=1))
    h.item("update", "süd", 1, micros=999_999, quantity=11)
    h.item("insert", "o'hara \"ltd\"", 5, sku="LID\\5", quantity=1, price="0.05")
    h.item("delete", "nord", 1)
    h.control("truncate-items")
    h.item("insert", "nord", 1, sku="TEA-100", quantity=55, price=None)
    h.move_item("nord1", 2, "süd")
    h.item("insert", "nord", 9, sku="OUT", quantity=1, price="1.00")
    h.item("delete", "nord", 9)

    # Two columns more, from here on.
    h.control("ddl")
    h.is_wide = True
    h.carrier(2, "Brieftaube AG")
    h.create(1024, "Pip 🦜 & 👩‍👩‍👧", "88.00", note="🍵×2 \U0001D11E", channel="app", coupon="MÄRZ-10",
             extra={"card": "Für \"Opa\" 🎂\n— Pip", "points": 9007199254740993, "tags": ["a\\b", "ü", None, True]})
    h.create(1025, "Lu Later", "25.00", channel="app")
    h.update(1007, note="now with a coupon", coupon="SORRY")
    h.to(1024, "paid")
    h.to(1025, "paid")

    # The same version twice: two writers raced, and the state further along the lifecycle stands.
    h.create(1017, "Ray Race", "17.00")
    h.to(1017, "paid")
    h.update(1017, note="please ring")
    h.update(1017, status="shipped", bump=0)
    h.create(1018, "Rita Race", "18.00", channel="phone")
    h.to(1018, "paid", "shipped", "delivered")
    h.update(1018, status="returned", bump=0)

    # Outside the lifecycle: the source is right, and it implies nothing.
    h.create(1019, "Hal Hold", "19.00")
    h.to(1019, "on_hold")
    h.create(1023, "Hope Held", "23.00")
    h.to(1023, "on_hold", "paid")

    # "shipped" is lost: the line is cut. "delivered" tells of it.
    h.create(1020, "Cut Short", "20.00")
    h.to(1020, "paid")
    h.update(1020, status="shipped", flaw="cut")
    h.control("stray")
    h.to(1020, "delivered")
    # No sequence, then no key; what comes after them is good.
    h.create(1021, "Sam Query", "21.00")
    h.update(1021, status="paid", flaw="sequence")
    h.update(1021, note="address?", flaw="key")
    h.to(1021, "shipped")

    # A second snapshot, of rows the log has told of already, and of one it has not.
    h.control("snapshot-start")
    h.exists(904, "Tove Stille", "delivered", 4, "9.40", note="never touched again")
    for id in (904, 1001, 1004, 1024):
        h.snapshot(id, "incremental")
    h.control("snapshot-end")
    h.to(1002, "completed")
    h.to(1024, "shipped")
    h.delete(1003)
    h.create(1026, "Nina New", "26.00", coupon="MÄRZ-10")
    h.to(1006, "returned")
    h.to(1025, "shipped", "returned")
    h.create(1022, "Otto Offen", "22.22")
    h.control("heartbeat")
    return h.steps


# ---------------------------------------------------------------------------------------------------- what is in a log

@dataclass
class Event:
    """One change event as a format is able to tell it, and all that the model looks at."""
    table: str
    op: str
    key: tuple
    sequence: tuple
    sequence_text: str
    time: int
    row: dict | None
    state: str | None = None


@dataclass
class Line:
    text: str
    events: list = field(default_factory=list)
    control: int = 0
    filtered: int = 0
    # (row, projection, reason, what the sentence must name)
    letters: list = field(default_factory=list)


def iso(micros, zone="Z", separator="T"):
    moment = datetime(1970, 1, 1) + timedelta(microseconds=micros)
    fraction = f"{moment.microsecond:06d}".rstrip("0")
    return f"{moment:%Y-%m-%d}{separator}{moment:%H:%M:%S}" + (f".{fraction}" if fraction else "") + zone


class Literal(str):
    """Text that stands in JSON as it is: a number with the digits it was given."""


def dump(value, ascii=False, spaces=False):
    comma, colon = (", ", ": ") if spaces else (",", ":")
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return "{" + comma.join(json.dumps(k, ensure_ascii=ascii) + colon + dump(v, ascii, spaces) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + comma.join(dump(v, ascii, spaces) for v in value) + "]"
    return json.dumps(value, ensure_ascii=ascii)


class Format:
    """One way to write the history. Subclasses write rows; this one knows which message is what."""
    name = ""
    has_snapshots = True
    splits_key_changes = False

    def lines(self, steps):
        lines, texts = [], {}
        index = 0
        while index < len(steps):
            step = steps[index]
            if isinstance(step, Control):
                lines += [Line(text, control=1) for text in self.controls(step)]
                if step.kind == "stray":
                    lines.append(Line('{"level":"info","msg":"connector restarted"}',
                                      letters=[(0, None, "unknown_format", "level")]))
                index += 1
                continue
            if step.repeats is not None:
                lines += texts[step.repeats]
                index += 1
                continue
            group = [step]
            while self.joins(step, steps, index + len(group)):
                group.append(steps[index + len(group)])
            made = self.messages(group)
            texts[group[-1].number] = made
            lines += made
            index += len(group)
        return lines

    def joins(self, first, steps, index):
        """Whether the step goes into the same message."""
        return False

    def messages(self, group):
        change = group[0]
        lines = []
        for part in self.split(change):
            line = Line(self.text(part))
            self.account(line, part, row=0)
            lines.append(line)
            if part.flaw == "cut":
                line.text = line.text[: len(line.text) * 2 // 3]
            if part.kind == "delete":
                lines += [Line(text, control=1) for text in self.tombstones()]
        return lines

    def split(self, change):
        if change.kind != "rekey" or not self.splits_key_changes:
            return [change]
        fields = {k: v for k, v in change.__dict__.items() if k not in ("kind", "before", "after")}
        return [Change("delete", before=change.before, after=None, **fields),
                Change("insert", before=None, after=change.after, **fields)]

    def tombstones(self):
        return []

    def account(self, line, change, row):
        if change.table == "carriers":
            line.filtered += 1
        elif change.flaw == "cut":
            line.letters.append((0, None, "malformed_json", "JSON"))
        elif change.flaw:
            reason = {"value": "value_invalid", "key": "key_missing", "sequence": "sequence_missing"}[change.flaw]
            line.letters.append((row, change.table, reason, self.named(change.flaw)))
        else:
            line.events += self.events(change)

    def named(self, flaw):
        return {"value": "amount", "key": "id", "sequence": "version"}[flaw]

    def events(self, change):
        def event(op, row):
            sequence, text = self.sequence(change, row, op)
            key = tuple(row[name] for name in KEYS[change.table])
            kept = None if op == "delete" else self.kept(row)
            return Event(change.table, op, key, sequence, text, change.time, kept, row.get("status") if kept else None)
        if change.kind == "rekey":
            # Both halves have the order key of what the row became.
            old = dict(change.after, **{name: change.before[name] for name in KEYS[change.table]})
            return [event("delete", old), event("insert", change.after)]
        op = change.kind if change.kind != "snapshot" or self.has_snapshots else "insert"
        return [event(op, change.after or change.before)]

    def kept(self, row):
        return row

    def sequence(self, change, row, op):
        if change.table == "items":
            return (row["updated_at"],), iso(row["updated_at"], "+00:00")
        return (row["version"],), str(row["version"])

    def columns(self, change, row):
        """The row's columns as they were at that time, values as Python has them, flaws included."""
        columns = {name: value for name, value in row.items() if change.is_wide or name not in ADDED_COLUMNS}
        if change.flaw == "key":
            columns["id"] = None
        if change.flaw == "sequence":
            columns = self.without_sequence(columns)
        return columns

    def without_sequence(self, columns):
        return dict(columns, version=None)


def changed(before, after):
    """The former values of what changed: Maxwell's and Canal's `old`."""
    return {name: before[name] for name in before if name in after and before[name] != after[name]}


def binlog(change):
    """The log is rotated in the middle."""
    file, offset = (42, 400 + 300 * change.group) if change.group < 60 else (43, 300 * (change.group - 59))
    return f"mysql-bin.{file:06d}", offset


class Maxwell(Format):
    name = "maxwell"

    def row(self, columns, table):
        """Numbers as numbers, JSON as JSON, and nulls left out: output_nulls=false."""
        row = {}
        for name, value in columns.items():
            if value is None:
                continue
            if name in ("amount", "price"):
                # MySQL's column keeps two digits; a filter on the way dropped a zero.
                value = Literal(value[:-1] if value.endswith("0") else value)
            elif name == "gift":
                value = int(value)
            elif name == "placed_at":
                value = iso(value * SECOND, "", " ")
            elif name == "updated_at":
                value = iso(value, "", " ")
            row[name] = value
        return row

    def text(self, change):
        file, offset = binlog(change)
        kind = {"rekey": "update", "snapshot": "bootstrap-insert"}.get(change.kind, change.kind)
        message = {"database": "shop", "table": change.table, "type": kind, "ts": change.time}
        if change.kind != "snapshot":
            message["xid"] = 40000 + change.group
            message.update({"commit": True} if change.is_last else {"xoffset": change.row})
            message["position"] = f"{file}:{offset}"
        columns = self.columns(change, change.after or change.before)
        message["data"] = self.row(columns, change.table)
        if kind == "update":
            old = changed(self.columns(change, change.before), columns) if change.flaw in (None, "value", "cut") else {}
            if old := self.row(old, change.table):
                message["old"] = old
        return dump(message)

    def controls(self, step):
        if step.kind in ("snapshot-start", "snapshot-end"):
            kind = "bootstrap-start" if step.kind == "snapshot-start" else "bootstrap-complete"
            return [dump({"database": "shop", "table": "orders", "type": kind, "ts": step.time, "data": {}})]
        if step.kind == "ddl":
            return [dump({"type": "table-alter", "database": "shop", "table": "orders", "ts": step.time * 1000,
                          "sql": "alter table orders add channel varchar(20) not null default 'web', add coupon varchar(20)"})]
        return []


class DebeziumMySQL(Format):
    name = "debezium-mysql"
    splits_key_changes = True

    def row(self, columns, table):
        row = {}
        for name, value in columns.items():
            if name == "id" and table == "orders" and value is not None and value >= 1 << 63:
                value -= 1 << 64  # bigint.unsigned.handling.mode=long
            elif name == "gift":
                value = int(value)
            elif name == "extra":
                value = None if value is None else dump(value)
            elif name == "placed_at":
                value *= 1000
            row[name] = value
        return row

    def source(self, change):
        file, offset = binlog(change)
        return {"version": "3.2.0.Final", "connector": "mysql", "name": "shop", "ts_ms": change.time * 1000,
                "snapshot": change.snapshot or "false", "db": "shop", "sequence": None, "ts_us": change.time * SECOND,
                "table": change.table, "server_id": 0 if change.snapshot else 11, "gtid": None, "file": file,
                "pos": offset, "row": change.row, "thread": None, "query": None}

    def text(self, change):
        def image(row):
            return None if row is None else self.row(self.columns(change, row), change.table)
        op = {"insert": "c", "update": "u", "delete": "d", "snapshot": "r"}[change.kind]
        return dump({"before": image(change.before), "after": image(change.after), "source": self.source(change),
                     "transaction": None, "op": op, "ts_ms": change.time * 1000 + 210})

    def tombstones(self):
        return ["null"]

    def controls(self, step):
        ms = step.time * 1000
        if step.kind == "heartbeat":
            return [dump({"ts_ms": ms})]
        if step.kind == "transaction-begin":
            return [dump({"status": "BEGIN", "id": "file=mysql-bin.000042,pos=900", "ts_ms": ms, "event_count": None,
                          "data_collections": None})]
        if step.kind == "transaction-end":
            return [dump({"status": "END", "id": "file=mysql-bin.000042,pos=900", "ts_ms": ms, "event_count": 3,
                          "data_collections": [{"data_collection": "shop.orders", "event_count": 3}]})]
        if step.kind == "ddl":
            return [dump({"source": {"connector": "mysql", "name": "shop", "db": "shop", "table": "orders"}, "ts_ms": ms,
                          "databaseName": "shop", "schemaName": None, "ddl": "ALTER TABLE orders ADD channel VARCHAR(20) "
                          "NOT NULL DEFAULT 'web', ADD coupon VARCHAR(20)", "tableChanges": []})]
        if step.kind == "truncate-items":
            source = self.source(Change("truncate", "items", None, None, step.time, 0, False))
            return [dump({"before": None, "after": None, "source": source, "op": "t", "ts_ms": ms + 12})]
        return []


class DebeziumFlattened(DebeziumMySQL):
    """ExtractNewRecordState with add.fields=op,table,db,source.ts_ms and deletes rewritten."""
    name = "debezium-flattened"

    def text(self, change):
        op = {"insert": "c", "update": "u", "delete": "d", "snapshot": "r"}[change.kind]
        row = self.row(self.columns(change, change.after or change.before), change.table)
        row.update({"__op": op, "__table": change.table, "__db": "shop", "__source_ts_ms": change.time * 1000,
                    "__deleted": "true" if op == "d" else "false"})
        return dump(row)

    def controls(self, step):
        return [] if step.kind == "truncate-items" else super().controls(step)


class DebeziumPostgres(Format):
    """With schemas, default replica identity, and the log's own order: $position."""
    name = "debezium-postgres-wrapped"
    splits_key_changes = True
    snapshot_lsn = 0x0_0200_0000

    def lsn(self, change):
        if change.snapshot == "incremental" or change.flaw == "sequence":
            return None
        # The first streamed change stands at the very coordinate of the snapshot.
        if change.snapshot or change.number == 5:
            return self.snapshot_lsn
        return self.snapshot_lsn + 0x120 * change.number + (0 if change.number < 60 else 1 << 32)

    def sequence(self, change, row, op):
        lsn = self.lsn(change)
        if lsn is None:
            return (0,), "snapshot"
        text = f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
        # No commit is known before the snapshot: it is below all that is streamed.
        if change.snapshot:
            return (1, 0, 0, lsn), f"0/0 snapshot of {text}"
        half = 0 if op == "delete" else 1
        return (1, lsn, 1, half), f"{text}:{half}"

    def named(self, flaw):
        return "$position" if flaw == "sequence" else super().named(flaw)

    def without_sequence(self, columns):
        return columns

    @staticmethod
    def decimal(text, scale):
        unscaled = int(Decimal(text).scaleb(scale))
        return base64.b64encode(unscaled.to_bytes(unscaled.bit_length() // 8 + 1, "big", signed=True)).decode()

    def row(self, columns, table):
        row = {}
        for name, value in columns.items():
            if value is None:
                pass
            elif name == "id" and table == "orders":
                value = self.decimal(str(value), 0)
            elif name in ("amount", "price"):
                value = self.decimal(value, 2)
            elif name == "extra":
                value = dump(value)
            elif name == "placed_at":
                value = iso(value * SECOND)
            elif name == "updated_at":
                value = iso(value)
            row[name] = value
        return row

    DECIMAL = "org.apache.kafka.connect.data.Decimal"

    def schema(self, change):
        def column(name):
            if change.table == "orders" and name == "id" or name in ("amount", "price"):
                scale = "0" if name == "id" else "2"
                return {"type": "bytes", "name": self.DECIMAL, "parameters": {"scale": scale}, "field": name}
            kinds = {"version": "int64", "id": "int64", "gift": "boolean", "quantity": "int32"}
            names = {"placed_at": "io.debezium.time.ZonedTimestamp", "updated_at": "io.debezium.time.ZonedTimestamp",
                     "extra": "io.debezium.data.Json"}
            made = {"type": kinds.get(name, "string"), "optional": name not in KEYS[change.table]}
            if name in names:
                made["name"] = names[name]
            return dict(made, field=name)
        columns = [column(name) for name in self.columns(change, change.after or change.before)]
        rows = [{"type": "struct", "fields": columns, "optional": True, "field": member} for member in ("before", "after")]
        return {"type": "struct", "fields": rows, "name": f"shop.public.{change.table}.Envelope"}

    def false_defaults(self, change):
        """Of a delete only the key is the row's; the rest is what the types begin with."""
        zero = {"customer": "", "status": "created", "amount": self.decimal("0", 2), "version": 0, "gift": False,
                "note": None, "extra": None, "channel": "web", "coupon": None, "placed_at": "1970-01-01T00:00:00Z",
                "sku": "", "quantity": 0, "price": None, "updated_at": "1970-01-01T00:00:00Z", "name": ""}
        row = self.row(self.columns(change, change.before), change.table)
        return {name: value if name in KEYS[change.table] else zero[name] for name, value in row.items()}

    def source(self, change):
        lsn = self.lsn(change)
        source = {"version": "3.2.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": change.time * 1000,
                  "snapshot": change.snapshot or "false", "db": "shop", "sequence": None, "schema": "public",
                  "table": change.table}
        if lsn is not None:
            source.update(sequence=dump([None if change.snapshot else str(lsn - 16), str(lsn)]), txId=700 + change.group, lsn=lsn)
        return dict(source, xmin=None)

    def text(self, change):
        op = {"insert": "c", "update": "u", "delete": "d", "snapshot": "r"}[change.kind]
        before = self.false_defaults(change) if op == "d" else None
        after = None if op == "d" else self.row(self.columns(change, change.after), change.table)
        payload = {"before": before, "after": after, "source": self.source(change), "op": op,
                   "ts_ms": change.time * 1000 + 50}
        return dump({"schema": self.schema(change), "payload": payload})

    def tombstones(self):
        return ['{"schema":null,"payload":null}']

    def controls(self, step):
        def wrapped(payload):
            return [dump({"schema": {"type": "struct", "fields": []}, "payload": payload})]
        ms = step.time * 1000
        if step.kind == "heartbeat":
            return wrapped({"ts_ms": ms})
        if step.kind == "transaction-begin":
            return wrapped({"status": "BEGIN", "id": "731:33554800", "ts_ms": ms, "event_count": None,
                            "data_collections": None})
        if step.kind == "transaction-end":
            return wrapped({"status": "END", "id": "731:33554800", "ts_ms": ms, "event_count": 3,
                            "data_collections": [{"data_collection": "public.orders", "event_count": 3}]})
        if step.kind == "ddl":
            message = {"prefix": "migrations", "content": base64.b64encode(b"0042_add_channel").decode()}
            source = {"connector": "postgresql", "name": "shop", "db": "shop", "schema": "", "table": "", "lsn": 33560000}
            return wrapped({"op": "m", "ts_ms": ms, "source": source, "message": message})
        if step.kind == "truncate-items":
            return wrapped({"before": None, "after": None, "op": "t", "ts_ms": ms,
                            "source": self.source(Change("truncate", "items", None, None, step.time, 0, False))})
        return []


class Canal(Format):
    """Flat messages: all rows of a statement in one, all values strings, the enum by its index, local time."""
    name = "canal"
    has_snapshots = False

    TYPES = {"id": "bigint unsigned", "customer": "varchar(80)", "amount": "decimal(12,2)", "version": "bigint",
             "gift": "tinyint(1)", "note": "text", "extra": "json", "channel": "varchar(20)", "coupon": "varchar(20)",
             "placed_at": "datetime", "tenant_id": "varchar(40)", "sku": "varchar(40)", "quantity": "int",
             "price": "decimal(10,2)", "updated_at": "datetime(6)", "name": "varchar(80)",
             "status": "enum(" + ",".join(f"'{state}'" for state in STATES) + ")"}

    def joins(self, first, steps, index):
        if index >= len(steps) or not isinstance(steps[index], Change) or steps[index].repeats is not None:
            return False
        other = steps[index]
        return (other.group, other.kind, other.table) == (first.group, first.kind, first.table)

    def kept(self, row):
        return dict(row, status=str(STATES.index(row["status"]) + 1)) if "status" in row else row

    def row(self, columns):
        row = {}
        for name, value in columns.items():
            if value is None:
                pass
            elif name == "status":
                value = str(STATES.index(value) + 1)
            elif name == "gift":
                value = str(int(value))
            elif name == "extra":
                value = dump(value)
            elif name == "placed_at":
                value = iso((value + 8 * 3600) * SECOND, "", " ")
            elif name == "updated_at":
                moment = datetime(1970, 1, 1) + timedelta(microseconds=value + 8 * 3600 * SECOND)
                value = f"{moment:%Y-%m-%d %H:%M:%S.%f}"
            else:
                value = str(value)
            row[name] = value
        return row

    def messages(self, group):
        first = group[0]
        kind = {"rekey": "UPDATE", "snapshot": "INSERT"}.get(first.kind, first.kind.upper())
        columns = [self.columns(change, change.after or change.before) for change in group]
        old = None
        if kind == "UPDATE":
            former = [changed(change.before, change.after) for change in group]
            # Canal adds up what changed over the rows of a message.
            names = {}
            old = []
            for change, values in zip(group, former):
                names.update(dict.fromkeys(values))
                old.append(self.row({name: change.before[name] for name in names if first.is_wide or name not in ADDED_COLUMNS}))
        types = {name: self.TYPES[name] for name in columns[0]}
        message = {"id": 500 + first.group, "database": "shop", "table": first.table, "pkNames": KEYS[first.table],
                   "isDdl": False, "type": kind, "es": first.time * 1000, "ts": first.time * 1000 + 344, "sql": "",
                   "sqlType": None, "mysqlType": types, "data": [self.row(each) for each in columns], "old": old, "gtid": ""}
        line = Line(dump(message))
        for row, change in enumerate(group):
            self.account(line, change, row)
        if first.flaw == "cut":
            line.text = line.text[: len(line.text) * 2 // 3]
        return [line]

    def controls(self, step):
        def ddl(kind, table, sql):
            return [dump({"id": 400, "database": "shop", "table": table, "pkNames": None, "isDdl": True, "type": kind,
                          "es": step.time * 1000, "ts": step.time * 1000 + 50, "sql": sql, "sqlType": None,
                          "mysqlType": None, "data": None, "old": None, "gtid": ""})]
        if step.kind == "ddl":
            return ddl("ALTER", "orders", "alter table orders add channel varchar(20) not null default 'web', "
                       "add coupon varchar(20)")
        if step.kind == "truncate-items":
            return ddl("TRUNCATE", "items", "truncate table items")
        if step.kind == "transaction-begin":
            return ddl("QUERY", "", "flush privileges")
        return []


class Tidemark(Format):
    """Tidemark's own line, by a writer that escapes all that is not ASCII and quotes a number now and then."""
    name = "tidemark"

    def row(self, columns, change):
        row = {}
        for name, value in columns.items():
            if value is None:
                pass
            elif name in ("amount", "price"):
                value = Literal(value)
            elif name == "placed_at":
                value = iso(value * SECOND)
            elif name == "updated_at":
                value = iso(value, "+00:00")
            elif name in ("id", "version") and change.number % 3 == 0:
                value = str(value)
            row[name] = value
        return row

    def text(self, change):
        kind = "update" if change.kind == "rekey" else change.kind
        message = {"table": f"shop.{change.table}", "op": kind}
        if change.before is not None:
            message["before"] = self.row(self.columns(change, change.before), change)
        if change.after is not None:
            message["after"] = self.row(self.columns(change, change.after), change)
        message.update(ts=iso(change.time * SECOND), position=[change.group, change.row])
        if change.after and "status" in change.after:
            message["tag"] = change.after["status"]
        return dump(message, ascii=True)

    def controls(self, step):
        if step.kind == "truncate-items":
            return [dump({"table": "shop.items", "op": "truncate", "ts": iso(step.time * SECOND)})]
        return ["null"] if step.kind == "heartbeat" else []


# -------------------------------------------------------------------------------------------------------------- model

def paths(state, path=("created",)):
    """Every way from the beginning to a state that passes no state twice."""
    if path[-1] == state:
        yield path
    for following in TRANSITIONS.get(path[-1], []):
        if following not in path:
            yield from paths(state, path + (following,))


def place(state):
    return max((len(path) for path in paths(state)), default=0)


def implies(state, milestone):
    ways = list(paths(state))
    return state == milestone or (bool(ways) and all(milestone in way for way in ways))


def model(lines):
    """What the lines must end in, and what a replay in their order must count."""
    counts = dict.fromkeys(["messages", "events", "applied", "late", "duplicate", "filtered", "control", "dead_letters",
                            "conflicts", "entities"], 0)
    entities = {}
    for line in lines:
        counts["messages"] += 1
        counts["control"] += line.control
        counts["filtered"] += line.filtered
        counts["dead_letters"] += len(line.letters)
        for event in line.events:
            rank = place(event.state) if event.state else 0
            content = dump({name: event.row[name] for name in sorted(event.row)}) if event.row else ""
            order = (event.sequence, event.op == "delete", rank, content)
            seen = entities.setdefault((event.table, event.key), {})
            if order in seen:
                counts["duplicate"] += 1
                seen[order] = min(seen[order], event, key=lambda each: (each.time, each.op))
            else:
                counts["applied" if all(order > other for other in seen) else "late"] += 1
                seen[order] = event
    counts["events"] = sum(counts[name] for name in ("applied", "late", "duplicate", "filtered"))
    counts["entities"] = len(entities)
    relations = {name: [] for name in RELATIONS}
    reached = dict.fromkeys(MILESTONES, 0)
    for (table, key), seen in sorted(entities.items(), key=lambda item: sort_key(item[0])):
        versions = [seen[order] for order in sorted(seen)]
        sequences = {}
        for order in sorted(seen):
            if not order[1]:
                sequences.setdefault(order[0], []).append(order)
        for orders in sequences.values():
            # The model knows no digest: where content alone would decide, it could not tell.
            assert len({order[2] for order in orders}) == len(orders), (key, orders)
            counts["conflicts"] += len(orders) > 1
        columns = ORDER_COLUMNS if table == "orders" else ITEM_COLUMNS
        prefix = "" if table == "orders" else "items_"
        last = versions[-1]
        if last.op != "delete":
            relations[table].append(shown(columns, last.row) + [last.sequence_text, stamp(last.time), "{}"])
        for version in versions:
            image = jsonb({name: version.row[name] for name in columns}) if version.row else None
            relations[prefix + "timeline"].append(
                list(key) + [version.sequence_text, version.op, version.state, stamp(version.time), image])
        valid = [max(version.time for version in versions[: index + 1]) for index in range(len(versions))]
        for index, version in enumerate(versions):
            if version.op != "delete":
                until = stamp(valid[index + 1]) if index + 1 < len(versions) else None
                relations[prefix + "history"].append(
                    shown(columns, version.row) + [version.sequence_text, stamp(version.time), "{}", stamp(valid[index]), until])
        if table == "orders":
            for milestone in sorted(MILESTONES):
                first = next((each for each in versions if each.state and implies(each.state, milestone)), None)
                if first:
                    reached[milestone] += 1
                    relations["milestones"].append(list(key) + [milestone, first.state, first.sequence_text])
    return relations, dict(counts, milestones=reached)


SHOWN = ["_sequence", "_event_time", "_incomplete"]
RELATIONS = {
    "orders": ORDER_COLUMNS + SHOWN,
    "timeline": ["id", "sequence", "op", "state", "event_time", "image"],
    "history": ORDER_COLUMNS + SHOWN + ["valid_from", "valid_to"],
    "milestones": ["id", "milestone", "state", "sequence"],
    "items": ITEM_COLUMNS + SHOWN,
    "items_timeline": ["tenant_id", "id", "sequence", "op", "state", "event_time", "image"],
    "items_history": ITEM_COLUMNS + SHOWN + ["valid_from", "valid_to"],
}


def sort_key(entity):
    table, key = entity
    return (table, *(part.encode() if isinstance(part, str) else part for part in key))


def stamp(seconds):
    return iso(seconds * SECOND, "+00", " ")


def shown(columns, row):
    def text(name, value):
        if value is None or name in ("id", "version", "quantity"):
            return value
        if name == "gift":
            return "t" if value else "f"
        if name == "extra":
            return jsonb_text(value)
        if name == "placed_at":
            return stamp(value)
        return iso(value, "+00", " ") if name == "updated_at" else value
    return [text(name, row[name]) for name in columns]


def jsonb(row):
    """The image: numbers bare, timestamps as JSON has them."""
    def value(name, value):
        if value is None:
            return None
        if name in ("amount", "price"):
            return Literal(value)
        if name == "placed_at":
            return iso(value * SECOND, "+00:00")
        return iso(value, "+00:00") if name == "updated_at" else value
    return jsonb_text({name: value(name, row[name]) for name in row})


def jsonb_text(value):
    """As PostgreSQL prints it: shorter names first, then by bytes."""
    def ordered(value):
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value, key=lambda name: (len(name.encode()), name.encode()))}
        return [ordered(each) for each in value] if isinstance(value, list) else value
    return dump(ordered(value), spaces=True)


def table_text(header, rows):
    """As COPY writes it: tabs between, \\N for null, and backslashes where a value holds what would be misread."""
    escapes = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
    def cell(value):
        return "\\N" if value is None else "".join(escapes.get(each, each) for each in str(value))
    return "".join("\t".join(map(cell, row)) + "\n" for row in [header] + rows)


# -------------------------------------------------------------------------------------------------------------- files

def arrival(lines):
    """A bad day: neighbours change places, some come much later, some two or three times."""
    random_ = random.Random(20260301)
    places = []
    for index, line in enumerate(lines):
        for _ in range(random_.choice([1, 1, 1, 2, 3])):
            late = random_.choice([0, 0, 0, 0, 0, 0, 0, 60, 140])
            places.append((index + random_.uniform(-8, 8) + late, line))
    return [line for _, line in sorted(places, key=lambda each: each[0])]


def files():
    steps = history()
    made = {}
    formats = [Maxwell(), DebeziumMySQL(), DebeziumFlattened(), DebeziumPostgres(), Canal(), Tidemark()]
    shared = {}
    for each in formats:
        lines = each.lines(steps)
        made[f"shop/{each.name}.ndjson"] = "".join(line.text + "\n" for line in lines)
        relations, counts = model(lines)
        for relation, header in RELATIONS.items():
            text = table_text(header, relations[relation])
            if shared.setdefault(relation, text) is text:
                made[f"shop/expected/{relation}.tsv"] = text
            elif shared[relation] != text:
                made[f"shop/expected/{each.name}/{relation}.tsv"] = text
        letters = [[number, *letter] for number, line in enumerate(lines, 1) for letter in line.letters]
        made[f"shop/expected/{each.name}/dead_letters.tsv"] = table_text(
            ["line", "row", "projection", "reason", "names"], letters)
        ledger = [[number, line.control, len(line.events), line.filtered, len(line.letters)]
                  for number, line in enumerate(lines, 1)]
        made[f"shop/expected/{each.name}/messages.tsv"] = table_text(
            ["line", "control", "events", "filtered", "dead_letters"], ledger)
        backwards, backwards_counts = model(lines[::-1])
        assert backwards == relations
        made[f"shop/expected/{each.name}/summary.json"] = json.dumps(
            {"in_order": counts, "reversed": backwards_counts}, indent=2) + "\n"
        if each.name == "maxwell":
            made["demo/arrival.ndjson"] = "".join(line.text + "\n" for line in arrival(lines))
    return made


def main():
    made = files()
    differing = []
    for name, text in sorted(made.items()):
        path = os.path.join(ROOT, name)
        current = open(path, encoding="utf-8", newline="").read() if os.path.exists(path) else None
        if current == text:
            continue
        differing.append(name)
        if "--check" not in sys.argv:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(text)
    stale = []
    for folder, _, names in os.walk(os.path.join(ROOT, "shop", "expected")):
        stale += [os.path.join(folder, name) for name in names if os.path.relpath(os.path.join(folder, name), ROOT) not in made]
    for path in stale:
        if "--check" not in sys.argv:
            os.remove(path)
    for name in differing + stale:
        print(name)
    sys.exit(1 if "--check" in sys.argv and (differing or stale) else 0)


main()
