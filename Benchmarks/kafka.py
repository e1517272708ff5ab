#!/usr/bin/env python3
"""Measures a source of Kafka beside `replay` of the same events, on a private PostgreSQL and librdkafka's mock cluster. Linux.

    Benchmarks/kafka.py [--pairs 3] [--events 600000]

Processor seconds are those of Tidemark and PostgreSQL; the cluster's are not counted. It keeps 5 MB a partition, and is
filled before a service starts: 600,000 events in 48 partitions are about what it can hold, and take four seconds. So the
cost of starting and stopping, with 48 streams to enter, is measured with a thousand events and taken off, of both sides;
the ratio with it is printed too. Then two processes against one, and a consumer in Python
(Contestants/kafka_consumer.py). Prints its goals, and exits 1 where one is missed.
"""
import argparse, os, resource, signal, subprocess, sys, time

import service

PARTITIONS = 48
SOURCES = """
sources:
  - {{ name: events, type: kafka, brokers: [{brokers}], topics: [shop.orders], group: tidemark, options: {{ session.timeout.ms: 6000 }} }}
"""


def configure(bench, brokers):
    text = service.CONFIGURATION.split("sources:")[0].format(notify="") + SOURCES.format(brokers=", ".join(brokers))
    (bench.folder / "tidemark.yaml").write_text(text)


def fill(bench, lines):
    """A cluster with the events, each order in one partition. Returns its process and its brokers."""
    mock = subprocess.Popen(
        [str(os.path.join(os.path.dirname(bench.tidemark), "tidemark-kafka-mock")), "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    bench.started.append(mock)
    brokers = mock.stdout.readline().strip().split(",")

    def perform(commands):
        mock.stdin.writelines(command + "\n" for command in commands)
        mock.stdin.flush()
        for command in commands:
            answer = mock.stdout.readline().strip()
            assert answer == "ok", (command, answer)

    perform([f"topic\tshop.orders\t{PARTITIONS}"])
    # As many at a time as a pipe of answers holds; the cluster answers a fetch with one batch of a partition.
    for start in range(0, len(lines), 20_000):
        perform([f"send\tshop.orders\t{order % PARTITIONS}\t{order}\t{line}" for order, line in lines[start:start + 20_000]])
    perform(["flush"])
    return mock, brokers


def replay(bench, log):
    before, start = bench.server.processor_seconds(), time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [bench.tidemark, "replay", "--no-deliver", "--no-migrate", "--config", bench.folder / "tidemark.yaml",
         "--database", bench.server.url("tidemark"), log],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    elapsed = time.monotonic() - start
    time.sleep(0.3)
    client = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return client, bench.server.processor_seconds() - before, elapsed


def run(bench, lines, count=1):
    mock, brokers = fill(bench, lines)
    configure(bench, [f'"{broker}"' for broker in brokers])
    before = bench.server.processor_seconds()
    processes = [bench.run("tidemark", "--no-deliver") for _ in range(count)]
    with bench.server.connect("tidemark") as connection:
        # A look costs the server half a millisecond, so there are few.
        bench.wait("the first event", lambda: bench.counted(connection) > 0, pause=0.2)
        start = time.monotonic()
        bench.wait("all events are counted", lambda: bench.counted(connection) >= len(lines), pause=0.5)
        elapsed = time.monotonic() - start
    client = sum(end(process) for process in processes)
    return finish(bench, mock, client, before, elapsed)


def end(process):
    """Stops a process. Returns its processor seconds."""
    process.send_signal(signal.SIGTERM)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def finish(bench, mock, client, before, elapsed):
    mock.stdin.close()
    mock.wait()
    time.sleep(0.3)
    return client, bench.server.processor_seconds() - before, elapsed


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
    return finish(bench, mock, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, before, elapsed)


def events(count):
    """So many lines with the number of their order, each order four times."""
    lines = [(order, service.line(order, step)) for step in range(4) for order in range(1, count // 4 + 1)]
    return [(order, (line.decode() if isinstance(line, bytes) else line).rstrip("\n")) for order, line in lines]


def write(path, lines):
    path.write_text("".join(line + "\n" for _, line in lines))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tidemark", default=str(service.ROOT / ".build/release/tidemark"))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--events", type=int, default=600_000)
    bench = service.Bench(parser.parse_args())
    try:
        (lines, few) = (events(bench.options.events), events(1000))
        log = write(bench.folder / "log.ndjson", lines)
        short = write(bench.folder / "short.ndjson", few)

        def measure(mode, is_short=False):
            bench.server.fresh("tidemark")
            configure(bench, ['"127.0.0.1:1"'])
            subprocess.run(
                [bench.tidemark, "migrate", "--config", bench.folder / "tidemark.yaml", "--database",
                 bench.server.url("tidemark")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            sent = few if is_short else lines
            contestants = {
                "replay": lambda: replay(bench, short if is_short else log), "run": lambda: run(bench, sent),
                "two": lambda: run(bench, sent, 2), "python": lambda: python(bench, sent),
            }
            client, server, elapsed = contestants[mode]()
            rate = "start and stop" if is_short else f"{len(sent) / elapsed:,.0f} events/s"
            print(f"  {mode}: client {client:.2f} s, server {server:.2f} s, {rate}", flush=True)
            return client + server

        starts = {mode: min(measure(mode, is_short=True) for _ in range(3)) for mode in ["replay", "run", "two"]}
        (ratios, whole) = ([], [])
        for pair in range(bench.options.pairs):
            costs = {mode: measure(mode) for mode in (["replay", "run"] if pair % 2 == 0 else ["run", "replay"])}
            ratios.append((costs["run"] - starts["run"]) / (costs["replay"] - starts["replay"]))
            whole.append(costs["run"] / costs["replay"])
        median = sorted(ratios)[len(ratios) // 2]
        print(
            f"Kafka takes {median:.3f} × the processor seconds of replay an event ({min(ratios):.3f}–{max(ratios):.3f}), "
            f"{sorted(whole)[len(whole) // 2]:.3f} × with starting and stopping"
        )
        bench.goal("at most 1.18 ×", median <= 1.18)
        two = (measure("two") - starts["two"]) / (costs["run"] - starts["run"])
        print(f"two processes take {two:.3f} × the processor seconds of one, an event")
        bench.goal("within 10%", two <= 1.1)
        script = measure("python") / costs["run"]
        print(f"the consumer in Python takes {script:.2f} × the processor seconds")
        bench.goal("at least 6 ×", script >= 6)
    finally:
        bench.close()
    sys.exit(1 if bench.missed else 0)


if __name__ == "__main__":
    main()
