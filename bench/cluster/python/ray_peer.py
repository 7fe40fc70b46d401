# docs.ray.io, "Ray Core key concepts": tasks, `ray.get` of a list, `ray.put` once for an argument that several tasks
# take. Nodes on one computer: `ray.cluster_utils.Cluster`, as its own tests have them.
import os
import tempfile

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_DEDUP_LOGS"] = "0"

import ray  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

import tasks  # noqa: E402

COMMON = dict(include_dashboard=False, object_store_memory=1 << 30)


class Peer:
    def __init__(self, nodes, slots):
        # Its default place, which `Cluster` expects to be there.
        self.dir = os.path.join(tempfile.gettempdir(), "ray")
        os.makedirs(self.dir, exist_ok=True)
        self.nodes = []
        if nodes == 1:
            ray.init(
                num_cpus=slots,
                log_to_driver=False,
                logging_level="ERROR",
                _node_ip_address="127.0.0.1",
                _temp_dir=self.dir,
                **COMMON,
            )
        else:
            head = dict(num_cpus=0, temp_dir=self.dir, **COMMON)
            self.cluster = Cluster(initialize_head=True, head_node_args=head)
            for _ in range(nodes):
                self.nodes.append(self.cluster.add_node(num_cpus=slots, temp_dir=self.dir))
            ray.init(address=self.cluster.address, log_to_driver=False, logging_level="ERROR")
        self.ops = {name: ray.remote(f) for name, f in tasks.BY_NAME.items()}

    def call(self, op, arg):
        return ray.get(self.ops[op].remote(arg))

    def burst(self, op, args):
        f = self.ops[op]
        return ray.get([f.remote(arg) for arg in args])

    def background(self, op, args):
        f = self.ops[op]
        return [f.remote(arg) for arg in args]

    def everywhere(self, op, data, slots):
        return self.burst(op, [ray.put(data)] * slots)

    def square_all(self, inputs, parts):
        size = -(-len(inputs) // parts)
        done = self.burst("square_all", [inputs[at : at + size] for at in range(0, len(inputs), size)])
        return [x for part in done for x in part], f"{parts} parts cut by hand"

    def node_pids(self):
        return [node.all_processes["raylet"][0].process.pid for node in self.nodes]
