#!/usr/bin/env python3
"""Measures a source of Kafka beside `replay` of the same events, on a private PostgreSQL and librdkafka's mock cluster. Linux.

    Benchmarks/kafka.py [--pairs 3] [--events 600000]

Processor seconds are those of Tidemark and PostgreSQL; the cluster's are not counted. It keeps 5 MB a partition, and is
filled before a service starts: 600,000 events in 48 partitions are about what it can hold, and take four seconds. So the
cost of starting and stopping, with 48 streams to enter, is measured with a thousand events and taken off, of both sides;
the ratio with it is printed too. Then two processes against one, a consumer in Python
(Contestants/kafka_consumer.py), and what librdkafka takes by itself (Contestants/kafka-floor/main.c, compiled by cc).
Prints its goals, and exits 1 where one is missed.
"""
import argparse, os, resource, subprocess, sys, time

import broker
import service

PARTITIONS = 48
SOURCE = (
    "{{ name: events, type: kafka, brokers: [{brokers}], topics: [shop.orders], group: tidemark, "
    "options: {{ session.timeout.ms: 6000 }} }}"
)


def configure(bench, brokers):
    broker.configure(bench, SOURCE.format(brokers=", ".join(f'"{address}"' for address in brokers)))


def fill(bench, lines):
    """A cluster with the events, each order in one partition. Returns its process and its brokers."""
    mock, address = broker.mock(bench, "tidemark-kafka-mock", "1")
    broker.perform(mock, [f"topic\tshop.orders\t{PARTITIONS}"])
    # As many at a time as a pipe of answers holds; the cluster answers a fetch with one batch of a partition.
    for start in range(0, len(lines), 20_000):
        part = lines[start:start + 20_000]
        broker.perform(mock, [f"send\tshop.orders\t{order % PARTITIONS}\t{order}\t{line}" for order, line in part])
    broker.perform(mock, ["flush"])
    return mock, address.split(",")


def run(bench, lines, count=1):
    mock, brokers = fill(bench, lines)
    configure(bench, brokers)
    costs = broker.serve(bench, len(lines), count)
    broker.leave(mock)
    return costs


def python(bench, lines):
    mock, brokers = fill(bench, lines)
    before, used = bench.server.processor_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run(
        [sys.executable, service.ROOT / "Benchmarks/Contestants/kafka_consumer.py", bench.server.url("tidemark"),
         ",".join(brokers), str(len(lines))], check=True, stderr=subprocess.DEVNULL,
    )
    # It waits for its assignment first, which takes three seconds of no processor.
    elapsed = time.monotonic() - start - 3
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    time.sleep(0.3)
    client = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    server = bench.server.processor_seconds() - before
    broker.leave(mock)
    return client, server, elapsed


def floor(bench, lines):
    """librdkafka alone: the server has nothing to do."""
    program = bench.folder / "kafka-floor"
    source = service.ROOT / "Benchmarks/Contestants/kafka-floor/main.c"
    subprocess.run(["cc", "-O2", "-o", program, source, "-lrdkafka"], check=True)
    mock, brokers = fill(bench, lines)
    start = time.monotonic()
    process = subprocess.Popen([program, ",".join(brokers), str(len(lines))], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    elapsed = time.monotonic() - start - 3
    broker.leave(mock)
    return used.ru_utime + used.ru_stime, 0, elapsed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemark", default=str(service.ROOT / ".build/release/tidemark"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--in-order", action="store_true", help="orders in the order of their numbers")
    bench = service.Bench(parser.parse_args())
    try:
        in_order = bench.options.in_order
        (lines, few) = (list(broker.events(count, in_order)) for count in (bench.options.events, 1000))
        log = broker.write(bench.folder / "log.ndjson", lines)
        short = broker.write(bench.folder / "short.ndjson", few)

        def measure(mode, is_short=False):
            configure(bench, ["127.0.0.1:1"])
            service.migrated(bench)
            sent = few if is_short else lines
            contestants = {
                "replay": lambda: service.replay(bench, short if is_short else log), "run": lambda: run(bench, sent),
                "two": lambda: run(bench, sent, 2), "python": lambda: python(bench, sent),
                "floor": lambda: floor(bench, sent),
            }
            client, server, elapsed = contestants[mode]()
            rate = "start and stop" if is_short else f"{len(sent) / elapsed:,.0f} events/s"
            print(f"  {mode}: client {client:.2f} s, server {server:.2f} s, {rate}", flush=True)
            return client + server

        starts = {mode: min(measure(mode, is_short=True) for _ in range(3)) for mode in ["replay", "run", "two"]}
        costs = broker.compare(bench, measure, starts, "Kafka", 1.18)
        two = (measure("two") - starts["two"]) / (costs["run"] - starts["run"])
        print(f"two processes take {two:.3f} × the processor seconds of one, an event")
        bench.goal("within 10%", two <= 1.1)
        script = measure("python") / costs["run"]
        print(f"the consumer in Python takes {script:.2f} × the processor seconds")
        bench.goal("at least 6 ×", script >= 6)
        print(f"librdkafka alone takes {measure('floor') / costs['replay']:.3f} × the processor seconds of replay")
    finally:
        bench.close()
    sys.exit(1 if bench.missed else 0)


if __name__ == "__main__":
    main()
