"""A careful consumer of Kafka in Python, with confluent-kafka and psycopg 3: kafka_consumer.py CONNINFO BROKERS EVENTS

A thousand messages a transaction, by executemany, which psycopg sends in pipeline mode; offsets are committed behind it.
Ends once it has read so many events.
"""

import json
import sys
from operator import itemgetter

import psycopg
from confluent_kafka import Consumer

BATCH = 1_000
COLUMNS = ("id", "customer", "status", "amount", "city", "updated_at", "version")
UPSERT = """
    insert into copies (id, customer, status, amount, city, updated_at, version)
    values (%s, %s, %s, %s, %s, %s, %s)
    on conflict (id) do update set
        customer = excluded.customer, status = excluded.status, amount = excluded.amount, city = excluded.city,
        updated_at = excluded.updated_at, version = excluded.version
    where excluded.version > copies.version
"""
TABLE = """
    create table copies (
        id bigint primary key, customer text, status text, amount numeric(12, 2), city text, updated_at timestamptz,
        version bigint
    )
"""


def main():
    conninfo, brokers, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pick = itemgetter(*COLUMNS)
    consumer = Consumer({
        "bootstrap.servers": brokers, "group.id": "consumer", "auto.offset.reset": "earliest",
        "enable.auto.commit": False, "session.timeout.ms": 6000,
    })
    consumer.subscribe(["shop.orders"])
    with psycopg.connect(conninfo) as connection:
        connection.execute(TABLE)
        connection.commit()
        done = 0
        while done < events:
            messages = consumer.consume(BATCH, timeout=1.0)
            if not messages:
                continue
            # Amounts stay the texts they are: no float rounds them.
            rows = [pick(json.loads(message.value(), parse_float=str)["data"]) for message in messages]
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(UPSERT, rows)
            consumer.commit(asynchronous=False)
            done += len(messages)
    consumer.close()


main()
