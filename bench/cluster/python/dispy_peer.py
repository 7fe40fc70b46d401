# dispy.org: `JobCluster`, `submit`, and calling a job for its result. `pulse_interval` and `reentrant` are what its
# documentation asks for if jobs of a dead node are to run elsewhere.
import os
import subprocess
import sys
import tempfile

import dispy

import tasks

FUNCTIONS = list(tasks.BY_NAME.values())


def run(name, arg):
    # dispy sends the source of this function and of `depends`, which are globals there.
    import os, time  # noqa: E401
    from array import array

    globals().update(os=os, time=time, array=array)
    return globals()[name](arg)


def setup():
    # After a setup that leaves something, dispynode starts jobs from a process of its own. Without, it loses a slot
    # with one in 200 short jobs ("'NoneType' object has no attribute 'pid'"), and soon has none.
    globals()["ready"] = True
    return 0


class Peer:
    def __init__(self, nodes, slots):
        self.dir = tempfile.mkdtemp(prefix="dispy-")
        self.nodes = []
        # Their ports are fixed, so each node gets an address of its own; all of 127/8 is this computer.
        addresses = [f"127.0.0.{2 + i}" for i in range(nodes)]
        for address in addresses:
            place = os.path.join(self.dir, address)
            os.makedirs(place)
            script = os.path.join(os.path.dirname(sys.executable), "dispynode.py")
            self.nodes.append(
                subprocess.Popen(
                    [sys.executable, script, "--daemon", "--clean", "-c", str(slots), "-i", address,
                     "--dest_path_prefix", place],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                )
            )
        self.cluster = dispy.JobCluster(
            run,
            nodes=addresses,
            depends=FUNCTIONS,
            setup=setup,
            host="127.0.0.1",
            loglevel=dispy.logger.CRITICAL,
            ping_interval=1,
            pulse_interval=1,
            reentrant=True,
            recover_file=os.path.join(self.dir, "recover"),
        )

    def _submit(self, op, arg):
        return self.cluster.submit(op, arg)

    def _result(self, job):
        value = job()
        if job.status != dispy.DispyJob.Finished:
            raise RuntimeError(f"{job.exception or job.status}".strip().splitlines()[-1])
        return value

    def call(self, op, arg):
        return self._result(self._submit(op, arg))

    def burst(self, op, args):
        return [self._result(job) for job in self.background(op, args)]

    def background(self, op, args):
        return [self._submit(op, arg) for arg in args]

    def everywhere(self, op, data, slots):
        return self.burst(op, [data] * slots)

    def square_all(self, inputs, parts):
        size = -(-len(inputs) // parts)
        done = self.burst("square_all", [inputs[at : at + size] for at in range(0, len(inputs), size)])
        return [x for part in done for x in part], f"{parts} parts cut by hand"

    def node_pids(self):
        return [process.pid for process in self.nodes]
