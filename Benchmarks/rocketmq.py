#!/usr/bin/env python3
"""Measures a source of RocketMQ on a private PostgreSQL, with the broker of the tests in a process of its own. Linux.

    Benchmarks/rocketmq.py speed [--pairs 3] [--events 1000000]    processor seconds beside `replay` of the same events
    Benchmarks/rocketmq.py memory [--events 10000000]              memory while as many events are read from 8 queues

Processor seconds are those of Tidemark and PostgreSQL; the broker's are not counted. It is filled before the service starts,
and answers a pull with 32 messages at most, as brokers do unless they are told otherwise. What starting and stopping costs
is measured with a thousand events and taken off, of both sides. Prints its goals, and exits 1 where one is missed.
"""
import argparse, sys

import broker
import service

QUEUES = 8


def configure(bench, address):
    broker.configure(
        bench, f'{{ name: events, type: rocketmq, name_servers: ["{address}"], topics: [shop_orders], group: tidemark }}'
    )


def fill(bench, path):
    mock, address = broker.mock(bench, "tidemark-rocketmq-mock")
    broker.perform(mock, [f"topic\tshop_orders\t{QUEUES}", f"load\tshop_orders\t{QUEUES}\t{path}"])
    return mock, address


def keyed(path, lines):
    """A file for the broker: each line with its key before it."""
    with open(path, "w") as file:
        file.writelines(f"{order}\t{line}\n" for order, line in lines)
    return path


def run(bench, path, count, watch=None):
    mock, address = fill(bench, path)
    configure(bench, address)
    costs = broker.serve(bench, count, watch=watch)
    broker.leave(mock)
    return costs


def speed(bench):
    files = {}
    for name, count in [("long", bench.options.events or 1_000_000), ("short", 1000)]:
        log = broker.write(bench.folder / f"{name}.ndjson", broker.events(count, bench.options.in_order))
        files[name] = (count, log, keyed(bench.folder / f"{name}.tsv", broker.events(count, bench.options.in_order)))

    def measure(mode, name="long"):
        count, log, messages = files[name]
        configure(bench, "127.0.0.1:1")
        service.migrated(bench)
        client, server, elapsed = service.replay(bench, log) if mode == "replay" else run(bench, messages, count)
        rate = f"{count / elapsed:,.0f} events/s" if name == "long" else "start and stop"
        print(f"  {mode}: client {client:.2f} s, server {server:.2f} s, {rate}", flush=True)
        return client + server

    starts = {mode: min(measure(mode, "short") for _ in range(3)) for mode in ["replay", "run"]}
    broker.compare(bench, measure, starts, "RocketMQ", 1.2)


def memory(bench):
    count = bench.options.events or 10_000_000
    path = keyed(bench.folder / "messages.tsv", broker.events(count, bench.options.in_order))
    configure(bench, "127.0.0.1:1")
    service.migrated(bench)
    seen = []
    client, server, elapsed = run(bench, path, count, lambda processes: seen.append(service.memory(processes[0].pid)))
    tenth = len(seen) // 10
    (first, later) = (max(seen[:tenth + 1]), max(seen[tenth + 1:] or seen))
    print(f"{count:,} messages: client {client:.0f} s, server {server:.0f} s, {count / elapsed:,.0f} events/s")
    print(f"memory: at most {first:.0f} MB in the first tenth of the time, {later:.0f} MB behind it")
    bench.goal("memory is flat, within 10%", later <= 1.1 * first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["speed", "memory"])
    parser.add_argument("--tidemark", default=str(service.ROOT / ".build/release/tidemark"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--events", type=int)
    parser.add_argument("--in-order", action="store_true", help="orders in the order of their numbers")
    bench = service.Bench(parser.parse_args())
    try:
        {"speed": speed, "memory": memory}[bench.options.mode](bench)
    finally:
        bench.close()
    sys.exit(1 if bench.missed else 0)


if __name__ == "__main__":
    main()
