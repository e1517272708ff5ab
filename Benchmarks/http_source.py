#!/usr/bin/env python3
"""Measures and attacks the HTTP source of `tidemark run`, on a private PostgreSQL with default durability. Linux.

    Benchmarks/http_source.py latency [--seconds 60]   5,000 events/s in requests of 1 and of 500, the database stopped for 20 s
                                                in it: from request to committed answer, memory, each answer as it did
    Benchmarks/http_source.py speed [--pairs 3]        4 connections with requests of 500, beside `replay --batch-events 2000`
    Benchmarks/http_source.py crowd                    400 clients at once while a lock holds up the rows: 429, memory, nothing lost
    Benchmarks/http_source.py clients                  Debezium Server's requests, curl's, vector's; wrong tokens, lying lengths,
                                                compressed bombs, 10,000 connections that trickle

Each prints its goals, and exits 1 where one is missed in a run of full length. The clients run on the same processors.
"""
import argparse, asyncio, contextlib, gzip, json, multiprocessing, os, resource, socket, subprocess, sys, threading, time

import service

TOKEN = "a-token-for-the-benchmark"
# That of the service's benchmark, with a source and a server of its own.
CONFIGURATION = service.CONFIGURATION.split("sources:")[0].replace("{notify}", "") + """
server: {{ listen: "127.0.0.1:{port}", tokens: ["{token}"] }}
sources: [{{ name: push, type: http }}]
"""
PATH = "/v1/sources/push/events"


class Service(service.Bench):
    """A running service with an HTTP source."""

    def __init__(self, options):
        super().__init__(options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "tidemark.yaml").write_text(CONFIGURATION.format(port=self.port, token=TOKEN))

    def run(self, database):
        self.server.fresh(database)
        self.database = database
        log = open(self.folder / "run.log", "ab")
        process = subprocess.Popen(
            [self.tidemark, "run", "--config", "tidemark.yaml", "--database", self.server.url(database), "--no-deliver"],
            cwd=self.folder, stdout=log, stderr=log,
        )
        self.started.append(process)
        self.process = process
        deadline = time.monotonic() + 60
        while self.post(line(0, 0))[0] != 200:
            assert time.monotonic() < deadline, open(self.folder / "run.log").read()
            time.sleep(0.05)

    def post(self, body, headers="", token=TOKEN, path=PATH):
        with contextlib.suppress(OSError), Connection(self.port) as connection:
            return connection.post(body, headers, token, path)
        return 0, "", 0


def line(order, step):
    status = service.STATES[step % len(service.STATES)]
    return (
        '{"database":"shop","table":"orders","type":"update","ts":1772357421,"data":{"id":%d,"customer":"c%06d",'
        '"status":"%s","amount":"%d.00","city":"Utrecht","updated_at":"2026-03-01T09:30:21Z","version":%d}}\n'
        % (order, order % 1_000_000, status, order % 997, step + 1)
    ).encode()


class Connection:
    """HTTP/1.1 by hand: libraries cost more processor time than the server."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=90)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def post(self, body, headers="", token=TOKEN, path=PATH):
        """Returns the status, the answer's body, and how many seconds it asks to wait."""
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
        if token:
            head += f"authorization: Bearer {token}\r\n"
        self.socket.sendall(f"{head}content-length: {len(body)}\r\n{headers}\r\n".encode() + body)
        return self.answer()

    def answer(self):
        received = self.rest
        while b"\r\n\r\n" not in received:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError("closed before an answer")
            received += part
        head, _, received = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (field.split(": ", 1) for field in lines[1:])}
        length = int(fields.get("content-length", 0))
        while len(received) < length:
            received += self.socket.recv(65536)
        self.rest = received[length:]
        return int(lines[0].split()[1]), received[:length].decode(), float(fields.get("retry-after", 0))


def send(port, first, size, rate, seconds, result):
    """Sends `rate` requests a second with `size` events of orders of their own, again until they are committed."""
    connection, latencies, statuses, wrong, sent = None, [], {}, [], 0
    start, count = time.monotonic(), int(rate * seconds)
    for number in range(count):
        due = start + number / rate
        time.sleep(max(0, due - time.monotonic()))
        orders = range(first + number * size, first + (number + 1) * size)
        body = b"".join(line(order, 0) for order in orders)
        began, tries = time.monotonic(), 0
        while True:
            tries += 1
            try:
                connection = connection or Connection(port)
                status, text, wait = connection.post(body)
            except OSError:
                connection, status, text, wait = None, 0, "", 0.1
            statuses[status] = statuses.get(status, 0) + 1
            if status == 200:
                break
            # A client that asks every second would be late by up to one.
            time.sleep(min(wait, 0.2))
        # Only what was answered at once has a latency: the others waited for the database.
        if tries == 1:
            latencies.append((began - start, time.monotonic() - began))
        sent += size
        counts = json.loads(text)
        done = counts["applied"] + (counts["duplicate"] if tries > 1 else 0)
        if counts["messages"] != size or done != size or counts["late"] or counts["dead_letters"]:
            wrong.append((tries, counts))
    result.put((latencies, statuses, wrong[:3], len(wrong), sent))


def goal(bench, text, value, limit, unit=""):
    missed = value > limit
    print(f"  {text}: {value:.1f}{unit}, goal {limit}{unit}{' MISSED' if missed else ''}", flush=True)
    if missed:
        bench.missed.append(text)


def measure_latency(bench):
    seconds = bench.options.seconds
    for size, senders in ((1, 16), (500, 4)):
        if bench.options.size not in (0, size):
            continue
        bench.run(f"latency_{size}")
        result = multiprocessing.Queue()
        rate = service.RATE / size / senders
        processes = [
            multiprocessing.Process(target=send, args=(bench.port, 1 + index * 100_000_000, size, rate, seconds, result))
            for index in range(senders)
        ]
        start = time.monotonic()
        for process in processes:
            process.start()
        peaks, stopped = [], False
        while time.monotonic() < start + seconds:
            elapsed = time.monotonic() - start
            if not stopped and elapsed > seconds / 3:
                bench.server.stop()
                stopped = True
                time.sleep(min(20, seconds / 3))
                bench.server.start()
            peaks.append((time.monotonic() - start, service.memory(bench.process.pid)))
            time.sleep(0.5)
        answers = [result.get() for _ in processes]
        for process in processes:
            process.join()
        statuses = {}
        for _, own, *_ in answers:
            for status, count in own.items():
                statuses[status] = statuses.get(status, 0) + count
        late = [took * 1000 for latencies, *_ in answers for _, took in latencies]
        # Behind the outage its backlog is caught up with; what was sent before has nothing to wait for. In the first
        # second sessions plan their statements, and tables are empty.
        early = [(at, took * 1000) for latencies, *_ in answers for at, took in latencies if at < seconds / 3 - 1]
        before = [took for at, took in early if at > 1]
        slowest = sorted(early, key=lambda one: -one[1])[:3]
        sent = sum(answer[4] for answer in answers)
        with bench.server.connect(bench.database) as connection:
            rows = connection.execute("select count(*) from orders where id > 0").fetchone()[0]
        print(f"requests of {size}: {sent} events in {time.monotonic() - start:.0f} s; answers {statuses}")
        print(f"  request to committed answer, median: {service.percentiles(before)[0]:.1f} ms")
        goal(bench, "request to committed answer, 99th", sorted(before)[int(len(before) * 0.99)], 50, " ms")
        print("  the slowest of them:", ", ".join(f"{took:.1f} ms at {at:.1f} s" for at, took in slowest))
        print(f"  those of the whole run that were answered at once, 99th: {sorted(late)[int(len(late) * 0.99)]:.1f} ms")
        goal(bench, "events lost or made up", abs(rows - sent), 0)
        goal(bench, "answers that say something else than was done", sum(answer[3] for answer in answers), 0)
        for answer in answers:
            for wrong in answer[2]:
                print("   ", wrong)
        goal(bench, "memory before the outage", max(peak for at, peak in peaks if at < seconds / 3), 200, " MB")
        goal(bench, "memory in all", max(peak for _, peak in peaks), 200, " MB")
        for status in (503, 429):
            print(f"  {status}: {statuses.get(status, 0)} times")
        bench.process.terminate()
        bench.process.wait()


def push(port, bodies, start, result):
    with Connection(port) as connection:
        start.wait()
        for body in bodies:
            status, text, _ = connection.post(body)
            assert status == 200, text
    result.put(resource.getrusage(resource.RUSAGE_SELF).ru_utime)


def measure_speed(bench):
    events, size, connections = bench.options.events, 500, 4
    # Steady: few events of an order at a time.
    lines = [line(1 + number % (events // 4), number // (events // 4)) for number in range(events)]
    log = bench.folder / "steady.ndjson"
    log.write_bytes(b"".join(lines))
    bodies = [b"".join(lines[at:at + size]) for at in range(0, events, size)]
    shares = []
    for pair in range(bench.options.pairs):
        bench.server.fresh("replayed")
        began = time.monotonic()
        subprocess.run(
            [bench.tidemark, "replay", "--config", "tidemark.yaml", "--database", bench.server.url("replayed"),
             "--no-deliver", "--batch-events", "2000", str(log)],
            cwd=bench.folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        replayed = events / (time.monotonic() - began)
        bench.run("pushed")
        start, result = multiprocessing.Event(), multiprocessing.Queue()
        clients = [
            multiprocessing.Process(target=push, args=(bench.port, bodies[index::connections], start, result))
            for index in range(connections)
        ]
        for client in clients:
            client.start()
        time.sleep(1)
        began = time.monotonic()
        start.set()
        spent = sum(result.get() for _ in clients)
        pushed = events / (time.monotonic() - began)
        for client in clients:
            client.join()
        peak = service.memory(bench.process.pid, "VmHWM")
        bench.process.terminate()
        bench.process.wait()
        shares.append(pushed / replayed)
        print(f"pair {pair + 1}: replay {replayed:,.0f} events/s, HTTP {pushed:,.0f} ({spent:.1f} s of them the clients'), "
              f"{pushed / replayed:.2f}; peak {peak:.0f} MB", flush=True)
    goal(bench, "replay's events/s by those over HTTP, median", 1 / sorted(shares)[len(shares) // 2], 1 / 0.7)


def measure_clients(bench):
    bench.run("clients")
    event = lambda order: line(order, 0).rstrip()
    answers = []

    def expect(what, answer, status, **counts):
        fits = answer[0] == status and all(json.loads(answer[1]).get(name) == value for name, value in counts.items())
        print(f"  {what}: {answer[0]}{'' if fits else ' MISSED ' + answer[1]}", flush=True)
        if not fits:
            bench.missed.append(what)

    # One change event a request, as its sink sends them: a JSON object of one line, its own content type.
    change = json.dumps({"schema": None, "payload": {
        "before": None, "after": {"id": 11, "status": "created", "version": 1},
        "source": {"db": "shop", "table": "orders", "ts_ms": 1772357421000}, "op": "c", "ts_ms": 1772357421000}}).encode()
    json_type = "content-type: application/json\r\n"
    with Connection(bench.port) as connection:
        connection.socket.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nUser-Agent: Java-http-client/17\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(change)}\r\n\r\n".encode() + change)
        expect("Debezium Server's HTTP sink", connection.answer(), 200, messages=1, applied=1)
    # Batches of an agent: an array, compressed, and lines in chunks.
    array = b"[" + b",".join(event(order) for order in range(20, 40)) + b"]"
    with Connection(bench.port) as connection:
        body = gzip.compress(array)
        connection.socket.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Encoding: gzip\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        expect("an array in gzip", connection.answer(), 200, messages=20, applied=20)
        lines = b"\n".join(event(order) for order in range(40, 60)) + b"\n"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (lines[:100], lines[100:101], lines[101:]))
        connection.socket.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n"
            f"Content-Type: application/x-ndjson\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
        expect("lines in chunks", connection.answer(), 200, messages=20, applied=20)
    body = bench.folder / "body.ndjson"
    body.write_bytes(lines)
    text = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", f"http://127.0.0.1:{bench.port}{PATH}", "-H", f"authorization: Bearer {TOKEN}",
         "-H", "content-type: application/x-ndjson", "--data-binary", f"@{body}"],
        check=True, capture_output=True, text=True).stdout
    expect("curl, the same again", (int(text.rsplit("\n", 1)[1]), text.rsplit("\n", 1)[0], 0), 200, duplicate=20)
    for token, what in (("", "no token"), ("wrong", "a wrong token"), (TOKEN[:-1], "a part of a token")):
        expect(what, bench.post(event(1), token=token), 401)
    expect("another source", bench.post(event(1), path="/v1/sources/nope/events"), 404)
    expect("no JSON", bench.post(b"hello\n"), 400)
    # A compressed body that is far longer than it looks: refused at the limit, and never in memory.
    bomb = gzip.compress(b" " * (1 << 20) * 256 + b"{}")
    expect("a compressed bomb of 256 MiB", bench.post(bomb, "content-encoding: gzip\r\n"), 413)
    # A body that ends before its length, and one that goes on behind it: the first is never applied.
    with Connection(bench.port) as connection:
        connection.socket.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/x-ndjson\r\n"
            f"Content-Length: 5000\r\n\r\n".encode() + event(70))
        connection.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            connection.socket.recv(4096)
    with bench.server.connect(bench.database) as connection:
        time.sleep(1)
        cut = connection.execute("select count(*) from orders where id = 70").fetchone()[0]
    expect("a body cut short is not applied", (200 if cut == 0 else 500, "{}", 0), 200)
    measure_trickle(bench, expect, event)
    peak = service.memory(bench.process.pid, "VmHWM")
    goal(bench, "peak memory", peak, 200, " MB")
    descriptors = len(os.listdir(f"/proc/{bench.process.pid}/fd"))
    goal(bench, "open descriptors at the end", descriptors, 100)


def measure_trickle(bench, expect, event):
    """Connections that send a byte now and then, many more than are served at once, beside one that works."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(bench.options.connections, hard - 100)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 5000\r\n\r\n".encode()
    with Connection(bench.port) as worker:
        expect("beside nobody", worker.post(event(80)), 200)
        trickling = []
        for number in range(count):
            connection = socket.socket()
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                connection.connect(("127.0.0.1", bench.port))
            trickling.append(connection)
            if number % 500 == 499:
                time.sleep(0.05)
        for turn in range(20):
            for connection in trickling:
                with contextlib.suppress(OSError):
                    connection.send(head[turn * 10:turn * 10 + 10])
            began = time.monotonic()
            answer = worker.post(event(81 + turn))
            if turn in (0, 10, 19):
                expect(f"beside {count} that trickle, {(time.monotonic() - began) * 1000:.0f} ms", answer, 200, messages=1)
            time.sleep(0.5)
        for connection in trickling:
            connection.close()
    deadline = time.monotonic() + 90
    while len(os.listdir(f"/proc/{bench.process.pid}/fd")) > 100 and time.monotonic() < deadline:
        time.sleep(0.5)
    expect("a new connection behind them", bench.post(event(150)), 200, messages=1)


def measure_crowd(bench):
    """Clients that send more than may wait while a lock on the read model holds up every commit."""
    bench.run("crowd")
    clients, size, held = 400, 500, 15
    answers = asyncio.Queue()

    async def client(number):
        body = b"".join(line(1 + number * size + step, 0) for step in range(size))
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n"
            f"authorization: Bearer {TOKEN}\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
        tries = 0
        while True:
            tries += 1
            writer.write(head + body)
            await writer.drain()
            status = int((await reader.readline()).split()[1])
            fields = {}
            while (field := (await reader.readline()).decode().strip()):
                name, _, value = field.partition(": ")
                fields[name.lower()] = value
            text = await reader.readexactly(int(fields["content-length"]))
            await answers.put((status, json.loads(text) if status == 200 else text.decode(), tries))
            if status == 200:
                break
            await asyncio.sleep(float(fields.get("retry-after", 1)))
        writer.close()

    async def crowd():
        await asyncio.gather(*(client(number) for number in range(clients)))

    began = time.monotonic()

    def hold(locked):
        with bench.server.connect(bench.database) as holder, holder.transaction():
            # Of a view PostgreSQL locks the tables behind it.
            holder.execute("lock table orders in share mode")
            locked.set()
            time.sleep(held)

    locked = threading.Event()
    holder = threading.Thread(target=hold, args=(locked,))
    holder.start()
    locked.wait()
    asyncio.run(crowd())
    holder.join()
    statuses, wrong = {}, []
    while not answers.empty():
        status, counts, tries = answers.get_nowait()
        statuses[status] = statuses.get(status, 0) + 1
        if status == 200:
            done = counts["applied"] + (counts["duplicate"] if tries > 1 else 0)
            if counts["messages"] != size or done != size:
                wrong.append((tries, counts))
    with bench.server.connect(bench.database) as connection:
        rows = connection.execute("select count(*) from orders where id > 0").fetchone()[0]
    print(f"{clients} clients with {size} events each, rows held up for {held} s: {time.monotonic() - began:.0f} s; answers {statuses}")
    goal(bench, "429 that are missing", 0 if statuses.get(429) else 1, 0)
    goal(bench, "events lost or made up", abs(rows - clients * size), 0)
    goal(bench, "answers that say something else than was done", len(wrong), 0)
    for one in wrong[:3]:
        print("   ", one)
    # The lanes wait with all that the pass's budget lets them have, which an outage of the database does not.
    print(f"  peak memory: {service.memory(bench.process.pid, 'VmHWM'):.0f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["latency", "speed", "clients", "crowd"])
    parser.add_argument("--tidemark", default=str(service.ROOT / ".build/release/tidemark"))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--size", type=int, default=0, help="of latency: only requests of so many events")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--connections", type=int, default=10_000)
    bench = Service(parser.parse_args())
    try:
        {
            "latency": measure_latency, "speed": measure_speed, "clients": measure_clients, "crowd": measure_crowd,
        }[bench.options.what](bench)
    finally:
        bench.close()
    if bench.missed:
        print("missed:", "; ".join(bench.missed))
    sys.exit(1 if bench.missed else 0)


if __name__ == "__main__":
    main()
