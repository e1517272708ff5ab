#!/usr/bin/env python3
"""Measures a timeline beside that of an earlier build, on a private PostgreSQL with default durability. Linux.

    Benchmarks/timeline.py --before .build-before/build/release/tidemark [--tidemark .build/release/tidemark]
                           [--orders 125000] [--large 1250000] [--rounds 3]

Each build replays the steady log of `make-log` with a timeline: bytes of table and index an event, the replay's peak
memory, and the time of the whole history, to a client that drops it. Then ten times as many orders: the time of one
order's history. `scripts/build-before.sh REV` builds the earlier one. Prints its goals, and exits 1 where one is missed.
"""
import argparse, os, pathlib, random, shutil, statistics, subprocess, sys, tempfile, time

import service

CONFIGURATION = service.ROOT / "Benchmarks/Contestants/tidemark-timeline.yaml"
EVENTS = "tidemark_internal.orders_events"


def replay(server, program, database, log):
    """Returns the peak memory, in megabytes."""
    server.fresh(database)
    process = subprocess.Popen(
        [program, "replay", "--config", CONFIGURATION, "--database", server.url(database), "--no-deliver", log],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said.decode()
    with server.connect(database) as connection:
        connection.execute("vacuum (analyze)")
    return usage.ru_maxrss / 1024


def sizes(connection):
    """Bytes of table and of index for each event."""
    return connection.execute(
        f"select pg_table_size('{EVENTS}')::float8 / count(*), pg_indexes_size('{EVENTS}')::float8 / count(*) from {EVENTS}"
    ).fetchone()


def whole(connection):
    began = time.monotonic()
    with connection.cursor().copy("copy (select * from orders_history) to stdout") as rows:
        for _ in rows:
            pass
    return time.monotonic() - began


def one(connection, orders, seed):
    """The median of the history of 300 orders, one at a time, in milliseconds."""
    numbers = random.Random(seed)
    seconds = []
    for _ in range(300):
        began = time.monotonic()
        rows = connection.execute("select * from orders_history where id = %s", [numbers.randint(1, orders)]).fetchall()
        seconds.append(time.monotonic() - began)
        assert len(rows) == 8, rows
    return statistics.median(seconds) * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True)
    parser.add_argument("--tidemark", default=str(service.ROOT / ".build/release/tidemark"))
    parser.add_argument("--orders", type=int, default=125_000)
    parser.add_argument("--large", type=int, default=1_250_000, help="0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-timeline-"))
    os.chmod(folder, 0o755)
    (folder / "server").mkdir()
    server = service.Server(str(folder / "server"))
    builds = {"before": options.before, "after": options.tidemark}
    missed = []

    def goal(what, before, after, limit, unit):
        """A limit below 1 is of bytes, above it of speed."""
        ratio = after / before if limit < 1 else before / after
        is_met = ratio <= limit if limit < 1 else ratio >= limit
        if not is_met:
            missed.append(what)
        print(f"  {'met   ' if is_met else 'MISSED'} {what}: {before:,.1f} {unit} before, {after:,.1f} after: "
              f"{ratio:.2f} ×, goal {'≤' if limit < 1 else '≥'} {limit} ×", flush=True)

    def make(orders):
        log = folder / f"{orders}.ndjson"
        with open(log, "wb") as file:
            subprocess.run(
                [service.ROOT / "Benchmarks/.build/release/make-log", "steady", "--orders", str(orders)],
                stdout=file, check=True,
            )
        return str(log)

    try:
        log = make(options.orders)
        peak = {build: [] for build in builds}
        for _ in range(options.rounds):
            for build, program in builds.items():
                peak[build].append(replay(server, program, build, log))
        size, history = {}, {build: [] for build in builds}
        for build in builds:
            with server.connect(build) as connection:
                size[build] = sizes(connection)
                print(f"{build}: {size[build][0]:.1f} bytes of table and {size[build][1]:.1f} of index an event")
        for _ in range(options.rounds):
            for build in builds:
                with server.connect(build) as connection:
                    history[build].append(whole(connection))
        median = lambda values, build: statistics.median(values[build])
        goal("bytes an event", sum(size["before"]), sum(size["after"]), 0.58, "bytes")
        goal("peak memory of a replay", median(peak, "before"), median(peak, "after"), 0.85, "MB")
        goal("whole history", median(history, "before"), median(history, "after"), 4, "s")
        os.remove(log)
        if options.large:
            for build in builds:
                server.fresh(build)
            log = make(options.large)
            single = {build: [] for build in builds}
            for build, program in builds.items():
                replay(server, program, build, log)
            for turn in range(options.rounds):
                for build in builds:
                    with server.connect(build) as connection:
                        single[build].append(one(connection, options.large, options.seed + turn))
            goal("history of an order", median(single, "before"), median(single, "after"), 1.5, "ms")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
