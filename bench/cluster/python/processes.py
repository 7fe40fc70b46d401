"""What a tree of processes uses, from /proc."""

import os
import signal

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")


def _stats():
    """pid -> fields of /proc/<pid>/stat behind the name, which may hold spaces."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    text = file.read()
            except OSError:
                continue
            found[int(name)] = text[text.rindex(")") + 2 :].split()
    return found


def tree(root):
    """`root` and all below it."""
    stats = _stats()
    below = {}
    for pid, fields in stats.items():
        below.setdefault(int(fields[1]), []).append(pid)
    pids, found = [root], []
    while pids:
        pid = pids.pop()
        found.append(pid)
        pids.extend(below.get(pid, ()))
    return found


def pss(pids):
    """Bytes; pages that several processes share are counted once."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                for line in file:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        except OSError:
            continue
    return total


def cpu_ms(pids):
    """Time that they, and their children that have ended, were on a core."""
    stats = _stats()
    return sum(sum(int(f) for f in stats[pid][11:15]) * TICK_MS for pid in pids if pid in stats)


def busy_ms():
    """Time that the cores of the machine did not idle, steal included."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) * TICK_MS


def kill_tree(root):
    """What the loss of a computer does to its processes: all at once, none gets to say a word."""
    pids = tree(root)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            pass
    for pid in tree(root) + pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
