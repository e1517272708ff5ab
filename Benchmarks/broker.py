"""What the benchmarks of sources of brokers share: a broker in a process of its own, a service that reads all that it has,
and the comparison with `replay` of the same events."""
import os, random, signal, subprocess, time

import service


def configure(bench, source):
    """Writes a configuration whose one source is `source`, YAML."""
    text = service.CONFIGURATION.split("sources:")[0].format(notify="")
    (bench.folder / "tidemark.yaml").write_text(text + "\nsources:\n  - " + source + "\n")


def serve(bench, count, processes=1, watch=None):
    """Runs so many processes until all events are counted. Returns the processor seconds of all, the server's, and how long
    it took from the first event on. `watch` is called with the processes while they run."""
    before = bench.server.processor_seconds()
    started = [bench.run("tidemark", "--no-deliver") for _ in range(processes)]

    def is_done():
        if watch:
            watch(started)
        return bench.counted(connection) >= count

    with bench.server.connect("tidemark") as connection:
        # A look costs the server half a millisecond, so there are few.
        bench.wait("the first event", lambda: bench.counted(connection) > 0, pause=0.2)
        start = time.monotonic()
        bench.wait("all events are counted", is_done, seconds=60 + count / 10_000, pause=0.5)
        elapsed = time.monotonic() - start
    client = sum(end(process) for process in started)
    time.sleep(0.3)
    return client, bench.server.processor_seconds() - before, elapsed


def compare(bench, measure, starts, name, most):
    """`replay` and `run` alternately; `starts` has what each costs without events, which is taken off. Returns what they cost
    the last time."""
    (ratios, whole) = ([], [])
    for pair in range(bench.options.pairs):
        costs = {mode: measure(mode) for mode in (["replay", "run"] if pair % 2 == 0 else ["run", "replay"])}
        ratios.append((costs["run"] - starts["run"]) / (costs["replay"] - starts["replay"]))
        whole.append(costs["run"] / costs["replay"])
    median = sorted(ratios)[len(ratios) // 2]
    print(
        f"{name} takes {median:.3f} × the processor seconds of replay an event ({min(ratios):.3f}–{max(ratios):.3f}), "
        f"{sorted(whole)[len(whole) // 2]:.3f} × with starting and stopping"
    )
    bench.goal(f"at most {most} ×", median <= most)
    return costs


def end(process):
    """Stops a process. Returns its processor seconds."""
    process.send_signal(signal.SIGTERM)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def mock(bench, program, *words):
    """A broker in a process of its own, `program` beside tidemark. Returns it and its address."""
    process = subprocess.Popen(
        [os.path.join(os.path.dirname(bench.tidemark), program), *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    bench.started.append(process)
    return process, process.stdout.readline().strip()


def perform(process, commands):
    """Has a mock do something, and checks that it did."""
    process.stdin.writelines(command + "\n" for command in commands)
    process.stdin.flush()
    for command in commands:
        answer = process.stdout.readline().strip()
        assert answer == "ok", (command, answer)


def leave(process):
    process.stdin.close()
    process.wait()


def events(count, in_order=False):
    """So many lines with the number of their order, each order four times: all orders' first step, then all orders' second.
    Within a step orders come in random order, the same each time. In the order of their numbers a file alone would bring
    whole batches sorted by key, which partitions do not, and the database would be the cheaper for it."""
    for step in range(4):
        orders = list(range(1, count // 4 + 1))
        if not in_order:
            random.Random(step).shuffle(orders)
        for order in orders:
            line = service.line(order, step)
            yield order, (line.decode() if isinstance(line, bytes) else line).rstrip("\n")


def write(path, lines):
    with open(path, "w") as file:
        file.writelines(line + "\n" for _, line in lines)
    return path
