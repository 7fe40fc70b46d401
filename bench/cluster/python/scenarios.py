"""The scenarios, for peers in Python; ../node/scenarios.mjs has the same for those in JavaScript."""

import gc
import os
import statistics
import tempfile
import time

from bare import Bare, calibrate
from processes import cpu_ms, kill_tree, pss, tree

ME = os.getpid()


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(p * len(values)))]


def check(ok, what):
    if not ok:
        raise RuntimeError(f"wrong result: {what}")


def warm(peer, slots):
    """Every worker process has started, imported what it needs, and answered."""
    peer.burst("identity", list(range(slots * 8)))


def latency(Peer, p):
    peer = Peer(1, p["slots"])
    warm(peer, p["slots"])
    for i in range(p["warmup"]):
        peer.call("identity", i)
    micros = []
    end = time.perf_counter() + p["budgetMs"] / 1000
    while len(micros) < p["calls"] and (time.perf_counter() < end or len(micros) < 20):
        start = time.perf_counter()
        result = peer.call("identity", len(micros))
        micros.append((time.perf_counter() - start) * 1e6)
        check(result == len(micros) - 1, "identity")
    note = {} if len(micros) == p["calls"] else {"note": f"{len(micros)} calls within {p['budgetMs'] / 1000:g} s"}
    return {"p50": percentile(micros, 0.5), "p99": percentile(micros, 0.99), **note}


def burst(Peer, p):
    """10,000 and 100,000 at once; where that would take longer than the budget, as many as fit, and their rate."""
    peer = Peer(1, p["slots"])
    warm(peer, p["slots"])

    def rate(n):
        start = time.perf_counter()
        results = peer.burst("identity", list(range(n)))
        took = time.perf_counter() - start
        check(results == list(range(n)), f"a burst of {n}")
        return n / took

    seen = rate(200)
    seen = rate(max(200, min(2000, int(seen))))
    budget = p["budgetMs"] / 1000
    values, notes = {}, []
    for key, wanted in (("rate10k", 10_000), ("rate100k", 100_000)):
        n = max(200, min(wanted, int(seen * budget)))
        values[key] = seen = rate(n)
        if n < wanted:
            notes.append(f"{n:,} instead of {wanted:,}")
    return {**values, **({"note": ", ".join(notes)} if notes else {})}


def tiny(Peer, p):
    n, peer = p["count"], Peer(1, p["slots"])
    warm(peer, p["slots"])
    took = []
    for _ in range(p["times"]):
        inputs = list(range(n))
        start = time.perf_counter()
        results, note = peer.square_all(inputs, p["slots"] * 4)
        took.append((time.perf_counter() - start) * 1000)
        check(len(results) == n and results[n - 1] == (n - 1) ** 2 and results[777] == 777**2, "square")
    return {"ms": statistics.median(took), "note": note}


def efficiency(Peer, p):
    slots, bare, per_ms = p["slots"], Bare(p["slots"]), calibrate()

    def bound():
        return bare.measure(slots * 10, int(per_ms * p["totalMs"] / slots / 10))

    bound()
    peer = Peer(1, slots)
    warm(peer, slots)
    peer.burst("spin", [int(per_ms)] * 200)
    # A job of a second and a half says little on a machine with neighbours: the median of several, interleaved.
    seen, before = {1: [], 10: [], 100: []}, bound()
    for ms in [1] + [10, 100] * p["passes"]:
        n = int(p["totalMs"] / ms)
        inputs = [int(per_ms * ms)] * n
        start = time.perf_counter()
        results = peer.burst("spin", inputs)
        took = time.perf_counter() - start
        after = bound()
        check(len(results) == n and len(set(results)) == 1, "spin")
        seen[ms].append((before + after) / 2 / took)
        before = after
    bare.stop()
    return {f"at{ms}ms": statistics.median(values) for ms, values in seen.items()}


def transfer(Peer, p):
    slots, peer = p["slots"], Peer(1, p["slots"])
    warm(peer, slots)
    values, alone = {}, 0
    for key, size, times in (("small", 10**6, p["smallTimes"]), ("large", 10**8, p["largeTimes"])):
        took = []
        for i in range(times + 1):
            # Other bytes each time, so that nobody has them already.
            data = os.urandom(1 << 16) * (size // (1 << 16) + 1)
            data = data[:size]
            start = time.perf_counter()
            results = peer.everywhere("touch", data, slots)
            took.append((time.perf_counter() - start) * 1000)
            wanted = [size, sum(data[::4096])]
            check(all(list(r[:2]) == wanted for r in results) and len(results) == slots, "bytes that arrived")
            alone += len({r[2] for r in results}) < slots
            del data
        values[key] = statistics.median(took[1:])
    return {**values, **({"note": f"one slot took all, {alone} times"} if alone else {})}


def memory(Peer, p):
    slots, peer = p["slots"], Peer(1, p["slots"])
    warm(peer, slots)
    peer.burst("identity", list(range(500)))
    busy = peer.background("hold", [p["holdSeconds"]] * slots)
    time.sleep(1)
    before = settled(p)
    end = time.perf_counter() + p["budgetMs"] / 1000
    handles, step = [], 1000
    while len(handles) < p["count"] and time.perf_counter() < end:
        handles.extend(peer.background("identity", list(range(len(handles), len(handles) + step))))
    after = settled(p)
    check(len(busy) == slots, "queue")
    queued = len(handles)
    note = {} if queued >= p["count"] else {"note": f"{queued:,} tasks, what fits in {p['budgetMs'] / 1000:g} s"}
    return {"bytes": (after - before) / queued, "queued": queued, **note}


def settled(p):
    """Bytes of all processes, once they hold still: a server may be behind its client."""
    gc.collect()
    last, end = pss(tree(ME)), time.perf_counter() + p["settleMs"] / 1000
    while time.perf_counter() < end:
        time.sleep(0.7)
        now = pss(tree(ME))
        if abs(now - last) < 0.005 * last:
            return now
        last = now
    return last


def recovery(Peer, p):
    """Two nodes of as many slots as there are tasks; one dies with all of its processes."""
    slots, peer = p["slots"], Peer(2, p["slots"])
    warm(peer, slots * 2)
    path = os.path.join(tempfile.mkdtemp(prefix="bench-"), "runs")
    handles = peer.background("announce", [[path, i, p["holdSeconds"]] for i in range(slots)])

    def runs():
        try:
            with open(path) as file:
                return [tuple(map(int, line.split())) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    until(lambda: len(runs()) >= slots, 30, "the tasks began")
    time.sleep(1)
    first = runs()
    pids = peer.node_pids()
    victim = next(pid for pid in pids if first[0][1] in tree(pid))
    gone = set(tree(victim))
    lost = {index for index, pid, _ in first if pid in gone}
    killed = time.monotonic_ns()
    kill_tree(victim)
    until(lambda: lost <= {index for index, _, at in runs() if at > killed}, p["limitSeconds"], "they ran elsewhere")
    last = max(at for index, _, at in runs() if at > killed)
    check(len(handles) == slots, "handles that were kept")
    return {"seconds": (last - killed) / 1e9}


def until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def start(Peer, p):
    peer = Peer(1, p["slots"])
    check(peer.call("identity", 1) == 1, "identity")
    return {"at": str(time.monotonic_ns())}


def idle(Peer, p):
    peer = Peer(1, p["slots"])
    warm(peer, p["slots"])
    time.sleep(p["settleMs"] / 1000)
    cluster = [pid for pid in tree(ME) if pid != ME]
    begin, at = cpu_ms(tree(ME)), time.perf_counter()
    time.sleep(p["watchMs"] / 1000)
    used = (cpu_ms(tree(ME)) - begin) / (time.perf_counter() - at) / 1000
    return {"cpu": used * 100, "cluster": pss(cluster) / 2**20, "client": pss([ME]) / 2**20}


SCENARIOS = {f.__name__: f for f in (latency, burst, tiny, efficiency, transfer, memory, recovery, start, idle)}
