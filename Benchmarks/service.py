#!/usr/bin/env python3
"""Measures `tidemark run` on followed files, on a private PostgreSQL with default durability. Linux: it reads /proc.

    Benchmarks/service.py latency [--seconds 60]    5,000 events/s: from a written line to its visible row, commit to
                                                    webhook, and memory
    Benchmarks/service.py outage [--seconds 90]     the same with the database stopped for 20 s: nothing is lost
    Benchmarks/service.py speed [--pairs 3]         1,000,000 events written at once: processor time beside `replay`
    Benchmarks/service.py idle [--seconds 600]      nothing is written: processor time, memory, what is written

Each prints its goals, and exits 1 where one is missed in a run of full length.
"""
import argparse, asyncio, contextlib, json, multiprocessing, os, pathlib, pwd, resource, shutil, signal
import subprocess, sys, tempfile, time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
STATES = ["created", "paid", "packed", "in_transit", "delivered", "confirmed", "completed", "shipped"]
RATE = 5_000
WRITES_PER_SECOND = 500


class Server:
    """A private PostgreSQL on a Unix socket. It refuses to run as root: root runs it as postgres, or as nobody."""

    def __init__(self, folder):
        self.folder = folder
        self.binaries = subprocess.check_output(["pg_config", "--bindir"], text=True).strip()
        self.account = []
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            user = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, user)
            self.account = ["runuser", "-u", user, "--"]
        self.run("initdb", "-D", f"{folder}/data", "-U", "tidemark", "-A", "trust", "--encoding=UTF8", "--locale=C")
        with open(f"{folder}/data/postgresql.conf", "a") as file:
            file.write(
                f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nmax_wal_size = 4GB\n"
                "min_wal_size = 1GB\ncheckpoint_timeout = 1h\njit = off\ntrack_commit_timestamp = on\n"
            )
        self.start()

    def run(self, program, *words):
        subprocess.run(
            self.account + [f"{self.binaries}/{program}", *words], check=True, cwd=self.folder, stdout=subprocess.DEVNULL
        )

    def start(self):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-l", f"{self.folder}/server.log", "-w", "start")
        self.postmaster = int(open(f"{self.folder}/data/postmaster.pid").readline())

    def stop(self, mode="immediate"):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", mode, "-w", "stop")

    def url(self, database="postgres"):
        return f"host={self.folder} user=tidemark dbname={database}"

    def connect(self, database="postgres"):
        return psycopg.connect(self.url(database), autocommit=True)

    def fresh(self, database):
        with self.connect() as connection:
            connection.execute(f"drop database if exists {database} with (force)")
            connection.execute(f"create database {database}")
            connection.execute("checkpoint")

    def processor_seconds(self):
        """Of the postmaster and all its children, those that have ended too."""
        total = sum(stat(self.postmaster)[11:15])
        children = open(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read().split()
        for child in children:
            with contextlib.suppress(OSError):
                total += sum(stat(child)[11:13])
        return total / TICKS


def stat(process):
    """The fields of /proc/PID/stat behind the name: 11 to 14 are utime, stime, cutime, cstime."""
    fields = open(f"/proc/{process}/stat").read().rsplit(")", 1)[1].split()
    return [int(field) if field.lstrip("-").isdigit() else 0 for field in fields]


def memory(process, name="VmRSS"):
    """In megabytes."""
    for line in open(f"/proc/{process}/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


CONFIGURATION = """
lanes: 2
service: {{ lease_ttl: 10s }}
projections:
  - name: orders
    from: [shop.orders]
    key: id
    sequence: version
    timeline: false
    state: status
    columns:
      id: bigint
      customer: text
      status: text
      amount: numeric(12,2)
      city: text
      updated_at: timestamptz
      version: bigint
    milestones: {{ shipped: {{ state: shipped{notify} }} }}
sources:
  - {{ name: logs, type: files, paths: ["{logs}/*.ndjson"], follow: true }}
"""
NOTIFIER = """
notifiers:
  warehouse: {{ type: webhook, url: "http://127.0.0.1:{port}/", secret: whsec_c2VjcmV0, allow_private: true }}
"""


class Bench:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tidemark-service-"))
        os.chmod(self.folder, 0o755)
        self.logs = self.folder / "logs"
        self.logs.mkdir()
        (self.folder / "server").mkdir()
        self.server = Server(str(self.folder / "server"))
        self.tidemark = options.tidemark
        self.missed = []
        self.started = []

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        with contextlib.suppress(Exception):
            self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def configure(self, port=None):
        text = CONFIGURATION.format(logs=self.logs, notify=", notify: warehouse" if port else "")
        if port:
            text += NOTIFIER.format(port=port)
        (self.folder / "tidemark.yaml").write_text(text)

    def run(self, database, *words):
        process = subprocess.Popen(
            [self.tidemark, "run", "--config", self.folder / "tidemark.yaml", "--database", self.server.url(database),
             "--listen", "none", *words],
            stderr=open(self.folder / "run.log", "a"), stdout=subprocess.DEVNULL,
        )
        self.started.append(process)
        return process

    def goal(self, text, is_met):
        print(f"  {'met   ' if is_met else 'MISSED'} {text}", flush=True)
        if not is_met:
            self.missed.append(text)

    def counted(self, connection):
        if connection.execute("select to_regclass('tidemark.counters')").fetchone()[0] is None:
            return 0
        return int(connection.execute("select coalesce(sum(messages), 0) from tidemark.counters").fetchone()[0])

    def wait(self, what, holds, seconds=120, pause=0.1):
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise SystemExit(f"service: {what}: not within {seconds} s\n" + self.said())
            time.sleep(pause)

    def said(self):
        return (self.folder / "run.log").read_text()[-2000:]

    def wait_until_ready(self):
        self.wait("the service runs", lambda: "running" in self.said())


def line(order, step):
    return (
        '{"database":"shop","table":"orders","type":"%s","ts":1772357415,"xid":%d,"data":{"id":%d,"customer":'
        '"customer-%08d","status":"%s","amount":12.50,"city":"city %d","updated_at":"2026-03-%02d 09:%02d:15",'
        '"version":%d}}\n'
        % (
            "update" if step else "insert", order * 8 + step, order, order * 7919 % 100_000_000, STATES[step],
            order % 977, step + 1, order % 60, step + 1,
        )
    )


def write(path, seconds, sampled, written):
    """Writes 5,000 lines a second, and says of some when they were written: order, version, nanoseconds."""
    file = open(path, "ab", buffering=0)
    start = time.monotonic_ns()
    number, count = 0, RATE // WRITES_PER_SECOND
    while number < RATE * seconds:
        due = start + number * 1_000_000_000 // RATE
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        lines, samples = [], []
        for _ in range(count):
            # Each eighth line ships an order; the steps of one are 0.4 s apart.
            turn, step = divmod(number, 8)
            order = turn + (7 - step) * 250 + 1
            lines.append(line(order, step))
            if number % 49 == 0:
                samples.append((order, step + 1))
            number += 1
        file.write("".join(lines).encode())
        now = time.monotonic_ns()
        for order, version in samples:
            sampled.send((order, version, now))
    sampled.send(None)
    written.value = number


def look(url, sampled, result):
    """Asks for the sampled rows until they are visible."""
    connection = psycopg.connect(url, autocommit=True)
    pending, latencies, is_open = {}, [], True
    while is_open or pending:
        while is_open and sampled.poll(0 if pending else 0.05):
            sample = sampled.recv()
            if sample is None:
                is_open = False
            else:
                # Of an order that is sampled twice at a time the former one counts.
                pending.setdefault(sample[0], sample[1:])
        if not pending:
            continue
        try:
            rows = connection.execute(
                # Planned each time: a plan that was kept from when the table was empty would scan it.
                "select id, version from orders where id = any(%s)", [list(pending)], prepare=False
            ).fetchall()
        except psycopg.Error:
            connection.close()
            while True:
                try:
                    connection = psycopg.connect(url, autocommit=True)
                    break
                except psycopg.Error:
                    time.sleep(0.2)
            continue
        now = time.monotonic_ns()
        for order, version in rows:
            sample = pending.get(order)
            if sample and version >= sample[0]:
                latencies.append(((now - sample[1]) / 1e6, sample[1]))
                del pending[order]
        time.sleep(0.002)
    result.send(latencies)


def receive(port, result, ended):
    """Takes webhooks, and notes when the first of each order came, in seconds of the wall clock."""
    arrivals = {}

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                now = time.time()
                length = next(
                    int(field.split(b":")[1]) for field in head.split(b"\r\n")
                    if field.lower().startswith(b"content-length:")
                )
                body = json.loads(await reader.readexactly(length))
                arrivals.setdefault(int(body["data"]["key"][0]), []).append(now)
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
        port.value = server.sockets[0].getsockname()[1]
        while not ended.is_set():
            await asyncio.sleep(0.1)
        server.close()

    asyncio.run(main())
    result.send(arrivals)


def percentiles(values):
    values = sorted(values)
    if not values:
        return 0.0, 0.0, 0.0
    return values[len(values) // 2], values[len(values) * 99 // 100], values[-1]


def measure_latency(bench, outage=None):
    seconds = bench.options.seconds or (90 if outage else 60)
    is_full = seconds >= 60
    port, ended = multiprocessing.Value("i", 0), multiprocessing.Event()
    arrivals, arrived = multiprocessing.Pipe(False)
    receiver = multiprocessing.Process(target=receive, args=(port, arrived, ended))
    receiver.start()
    bench.wait("the receiver listens", lambda: port.value)
    bench.configure(port.value)
    bench.server.fresh("tidemark")
    (bench.logs / "app.ndjson").touch()
    process = bench.run("tidemark")
    bench.wait_until_ready()
    samples, sampled = multiprocessing.Pipe(False)
    results, result = multiprocessing.Pipe(False)
    written = multiprocessing.Value("q", 0)
    writer = multiprocessing.Process(
        target=write, args=(bench.logs / "app.ndjson", seconds, sampled, written)
    )
    looker = multiprocessing.Process(target=look, args=(bench.server.url("tidemark"), samples, result))
    looker.start()
    writer.start()
    start, rss, processor = time.monotonic(), [], []
    stopped = None
    while writer.is_alive():
        time.sleep(0.5)
        now = time.monotonic() - start
        rss.append((now, memory(process.pid)))
        if outage and stopped is None and now >= seconds / 3:
            bench.server.stop()
            stopped = now
        elif outage and stopped and now >= stopped + outage and not os.path.exists(
            f"{bench.server.folder}/data/postmaster.pid"
        ):
            bench.server.start()
    latencies = results.recv()
    connection = bench.server.connect("tidemark")
    bench.wait("all lines are counted", lambda: bench.counted(connection) >= written.value)
    bench.wait(
        "all webhooks are delivered",
        lambda: connection.execute(
            "select count(*) from tidemark_internal.deliveries where status <> 'delivered'"
        ).fetchone()[0] == 0,
    )
    counted = bench.counted(connection)
    complete = connection.execute("select count(*) from orders where version = 8").fetchone()[0]
    shipped = connection.execute("select count(*) from tidemark_internal.deliveries").fetchone()[0]
    commits = dict(connection.execute(
        "select id, extract(epoch from pg_xact_commit_timestamp(xmin))::double precision "
        "from tidemark_internal.orders_milestones"
    ).fetchall())
    used = sum(stat(process.pid)[11:13]) / TICKS
    peak = memory(process.pid, "VmHWM")
    process.send_signal(signal.SIGTERM)
    status = process.wait()
    ended.set()
    came = arrivals.recv()
    webhooks = [(times[0] - commits[order]) * 1000 for order, times in came.items() if order in commits]
    if bench.options.verbose:
        print("  MB: " + ", ".join(f"{value:.0f}" for _, value in rss[::4]))
        zero, first = min(entry[1] for entry in latencies), min(commits.values())
        for bucket in range(0, seconds, 5):
            rows = [entry[0] for entry in latencies if bucket <= (entry[1] - zero) / 1e9 < bucket + 5]
            webs = [(times[0] - commits[order]) * 1000 for order, times in came.items()
                    if bucket <= commits[order] - first < bucket + 5]
            print(f"  {bucket} s: rows {percentiles(rows)}, webhooks {percentiles(webs)}")
    median, nearly, worst = percentiles([entry[0] for entry in latencies])
    print(
        f"{written.value:,} lines in {seconds} s; {used / written.value * 1e6:.1f} µs of the client an event; "
        f"{len(latencies):,} samples"
    )
    print(f"  line to row: median {median:.1f} ms, 99th percentile {nearly:.1f} ms, longest {worst:.1f} ms")
    web = percentiles(webhooks)
    print(f"  commit to webhook: median {web[0]:.1f} ms, 99th percentile {web[1]:.1f} ms, longest {web[2]:.1f} ms "
          f"({len(webhooks):,})")
    warm = max(value for at, value in rss if at <= 15) if seconds > 20 else rss[-1][1]
    late = max(value for at, value in rss if at > 15) if seconds > 20 else rss[-1][1]
    print(f"  memory: {warm:.0f} MB in the first 15 s, at most {late:.0f} MB later, peak {peak:.0f} MB")
    bench.goal("every line is counted once, each order that was shipped is, exit status 0",
               counted == written.value and complete == written.value // 8 and status == 0)
    bench.goal("each shipped is in the outbox once, and was delivered",
               shipped == complete and set(came) == set(commits) and len(came) == complete)
    bench.goal("memory is flat within 5%", late <= warm * 1.05)
    if not outage:
        bench.goal("line to row: 99th percentile at most 50 ms", nearly <= 50)
        bench.goal("commit to webhook: median at most 10 ms, 99th percentile at most 50 ms", web[0] <= 10 and web[1] <= 50)
    connection.close()
    return is_full


def measure_speed(bench):
    log = bench.folder / "log.ndjson"
    make_log = ROOT / "Benchmarks/.build/release/make-log"
    ratios = {}
    lines = 0
    for shape in bench.options.shape or ["hot", "steady"]:
        with open(log, "wb") as file:
            subprocess.run([make_log, shape, "--orders", str(bench.options.orders)], stdout=file, check=True)
        lines = sum(1 for _ in open(log, "rb"))
        bench.configure()
        ratios[shape] = []
        for pair in range(bench.options.pairs):
            costs = {}
            order = ["replay", "run"] if pair % 2 == 0 else ["run", "replay"]
            for mode in order:
                costs[mode] = bench_one(bench, mode, log, lines)
                client, server, elapsed = costs[mode]
                print(f"  {shape} {mode}: client {client:.2f} s, server {server:.2f} s, {lines / elapsed:,.0f} events/s",
                      flush=True)
            ratios[shape].append(sum(costs["run"][:2]) / sum(costs["replay"][:2]))
    for shape, values in ratios.items():
        median = sorted(values)[len(values) // 2]
        print(f"{shape}: run takes {median:.3f} × the processor seconds of replay ({min(values):.3f}–{max(values):.3f})")
        bench.goal(f"{shape}: at most 1.05 ×", median <= 1.05)
    return lines >= 1_000_000 and bench.options.pairs >= 3


def migrated(bench):
    """A database that is empty but for the schema."""
    bench.server.fresh("tidemark")
    subprocess.run(
        [bench.tidemark, "migrate", "--config", bench.folder / "tidemark.yaml", "--database",
         bench.server.url("tidemark")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def replay(bench, log):
    """Client and server processor seconds of a replay, and how long it took."""
    before, start = bench.server.processor_seconds(), time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [bench.tidemark, "replay", "--no-deliver", "--no-migrate", "--config", bench.folder / "tidemark.yaml",
         "--database", bench.server.url("tidemark"), log],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    elapsed = time.monotonic() - start
    # A session's last work is counted once it has ended.
    time.sleep(0.3)
    client = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return client, bench.server.processor_seconds() - before, elapsed


def bench_one(bench, mode, log, lines):
    """Client and server processor seconds, and the seconds until all is committed."""
    migrated(bench)
    if mode == "replay":
        return replay(bench, log)
    before, start = bench.server.processor_seconds(), time.monotonic()
    os.link(log, bench.logs / "app.ndjson")
    process = bench.run("tidemark", "--no-deliver")
    with bench.server.connect("tidemark") as connection:
        # Seldom, since the server's time for the question is counted too.
        bench.wait("all lines are counted", lambda: bench.counted(connection) >= lines, pause=0.5)
        elapsed = time.monotonic() - start
        process.send_signal(signal.SIGTERM)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    os.unlink(bench.logs / "app.ndjson")
    time.sleep(0.3)
    return used.ru_utime + used.ru_stime, bench.server.processor_seconds() - before, elapsed


def measure_idle(bench):
    seconds = bench.options.seconds or 600
    bench.configure(9)
    bench.server.fresh("tidemark")
    for number in range(16):
        (bench.logs / f"app-{number}.ndjson").write_text("".join(line(number * 10 + 1, step) for step in range(7)))
    process = bench.run("tidemark")
    bench.wait_until_ready()
    connection = bench.server.connect("tidemark")
    bench.wait("all lines are counted", lambda: bench.counted(connection) >= 16 * 7)
    # Descriptors of quiet files are closed after a minute.
    time.sleep(min(70, seconds))
    tables = """
        select relid::regclass::text, n_tup_ins + n_tup_upd + n_tup_del from pg_stat_all_tables
        where schemaname not in ('pg_catalog', 'pg_toast', 'information_schema')
        """
    def written():
        connection.execute("select pg_stat_clear_snapshot()")
        return dict(connection.execute(tables).fetchall())
    before, used, server = written(), sum(stat(process.pid)[11:13]), bench.server.processor_seconds()
    time.sleep(seconds)
    after = written()
    client = (sum(stat(process.pid)[11:13]) - used) / TICKS
    server = bench.server.processor_seconds() - server
    rows = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    rss = memory(process.pid)
    print(f"{seconds} s: client {client / seconds:.2%} of a core, PostgreSQL {server / seconds:.2%}, {rss:.0f} MB, "
          f"rows written: {rows}")
    bench.goal("less than 1% of a core", client / seconds < 0.01)
    bench.goal("less than 100 MB", rss < 100)
    bench.goal("no row is written but the process's own", set(rows) <= {"tidemark_internal.processes"})
    process.send_signal(signal.SIGTERM)
    process.wait()
    connection.close()
    return seconds >= 600


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["latency", "outage", "speed", "idle"])
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--verbose", action="store_true", help="latencies of each five seconds")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--orders", type=int, default=125_000)
    parser.add_argument("--shape", action="append", choices=["hot", "steady", "cold"])
    parser.add_argument("--tidemark", default=str(ROOT / ".build/release/tidemark"))
    options = parser.parse_args()
    bench = Bench(options)
    try:
        is_full = {
            "latency": measure_latency, "speed": measure_speed, "idle": measure_idle,
            "outage": lambda bench: measure_latency(bench, outage=20),
        }[options.what](bench)
    finally:
        bench.close()
        for child in multiprocessing.active_children():
            child.terminate()
    sys.exit(1 if bench.missed and is_full else 0)


if __name__ == "__main__":
    main()
