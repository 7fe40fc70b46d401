"""Two bare processes that do the same work and say nothing meanwhile: the bound of every efficiency."""

import multiprocessing
import time

import tasks


def _serve(pipe):
    tasks.spin(100_000)
    pipe.send("ready")
    while (work := pipe.recv()) is not None:
        count, iterations = work
        for _ in range(count):
            tasks.spin(iterations)
        pipe.send("done")


class Bare:
    def __init__(self, slots):
        context = multiprocessing.get_context("spawn")
        self.slots = []
        for _ in range(slots):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,))
            process.start()
            self.slots.append((process, ours))
        for _, pipe in self.slots:
            pipe.recv()

    def measure(self, count, iterations):
        """Seconds for `count` tasks, the same number in each process."""
        start = time.perf_counter()
        for _, pipe in self.slots:
            pipe.send((count // len(self.slots), iterations))
        for _, pipe in self.slots:
            pipe.recv()
        return time.perf_counter() - start

    def stop(self):
        for process, pipe in self.slots:
            pipe.send(None)
            process.join()


def calibrate():
    """Iterations of `spin` in a millisecond."""
    rates = []
    for _ in range(15):
        start = time.perf_counter()
        tasks.spin(100_000)
        rates.append(100_000 / (time.perf_counter() - start) / 1000)
    return sorted(rates)[len(rates) // 2]
