# distributed.dask.org: `Client.submit`, `map`, `gather`, `scatter(broadcast=True)`. A scheduler and
# worker processes of one thread each, as its page "Command line" starts them.
import json
import os
import subprocess
import sys
import tempfile
import time
from array import array

from distributed import Client

import tasks


class Peer:
    def __init__(self, nodes, slots):
        self.dir = tempfile.mkdtemp(prefix="dask-")
        file = os.path.join(self.dir, "scheduler.json")
        self.processes = []
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--no-show",
                    "--scheduler-file", file)
        address = self._address(file)
        # One node is as many worker processes as it has slots; several nodes are one process each.
        workers, threads = (slots, 1) if nodes == 1 else (1, slots)
        self.nodes = [
            self._start("worker", address, "--host", "127.0.0.1", "--nworkers", str(workers), "--nthreads",
                        str(threads), "--no-dashboard", "--local-directory", self.dir)
            for _ in range(nodes)
        ]
        self.client = Client(address, set_as_default=True)
        self.client.wait_for_workers(workers * nodes)

    def _address(self, file):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with open(file) as text:
                    return json.load(text)["address"]
            except (FileNotFoundError, ValueError):
                # Not there, or being written.
                time.sleep(0.01)
        raise RuntimeError("the scheduler did not start")

    def _start(self, *args):
        # Workers import `tasks` by its name.
        env = {**os.environ, "PYTHONPATH": os.path.dirname(__file__), "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *args], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)
        return process

    def call(self, op, arg):
        return self.client.submit(tasks.BY_NAME[op], arg, pure=False).result()

    def burst(self, op, args):
        return self.client.gather(self.client.map(tasks.BY_NAME[op], args, pure=False))

    def background(self, op, args):
        return self.client.map(tasks.BY_NAME[op], args, pure=False)

    def everywhere(self, op, data, slots):
        future = self.client.scatter(data, broadcast=True, hash=False)
        f = tasks.BY_NAME[op]
        workers = list(self.client.scheduler_info(n_workers=-1)["workers"])
        return self.client.gather(
            [self.client.submit(f, future, workers=[worker], pure=False) for worker in workers]
        )

    def square_all(self, inputs, parts):
        # Lists cost it 50 µs an element each way, `dask.bag` as well: minutes.
        size = -(-len(inputs) // parts)
        cut = [array("q", inputs[at : at + size]) for at in range(0, len(inputs), size)]
        done = self.burst("square_all", self.client.scatter(cut, hash=False))
        return [x for part in done for x in part], f"{parts} parts cut by hand, as arrays"

    def node_pids(self):
        return [process.pid for process in self.nodes]
