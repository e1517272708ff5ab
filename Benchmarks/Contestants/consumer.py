"""A careful consumer in Python, with psycopg 3: consumer.py CONNINFO FILE

A thousand events a transaction, by executemany, which psycopg sends in pipeline mode.
"""

import json
import sys
from itertools import islice
from operator import itemgetter

import psycopg

BATCH = 1_000

COLUMNS = ("id", "customer", "status", "amount", "currency", "city", "note", "updated_at", "version")

UPSERT = """
    insert into orders (id, customer, status, amount, currency, city, note, updated_at, version)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    on conflict (id) do update set
        customer = excluded.customer, status = excluded.status, amount = excluded.amount,
        currency = excluded.currency, city = excluded.city, note = excluded.note,
        updated_at = excluded.updated_at, version = excluded.version
    where excluded.version > orders.version
"""


def rows(lines):
    """The orders among the events, as tuples of the columns. Amounts stay the texts they are: no float rounds them."""
    pick = itemgetter(*COLUMNS)
    for line in lines:
        event = json.loads(line, parse_float=str)
        if event["table"] == "orders" and event["database"] == "shop":
            yield pick(event["data"])


def main():
    conninfo, path = sys.argv[1:]
    with psycopg.connect(conninfo) as connection, open(path, "rb") as log:
        events = rows(log)
        while batch := list(islice(events, BATCH)):
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(UPSERT, batch)


main()
