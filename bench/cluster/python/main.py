"""One run: one peer, one scenario, one fresh process. The driver starts it and reads the one line that it prints.
python main.py <peer> <scenario> <params as JSON>
"""

import importlib
import json
import os
import sys
import time

from processes import busy_ms, cpu_ms, tree
from scenarios import SCENARIOS


def main():
    name, scenario, params = sys.argv[1:]
    at, machine, own = time.perf_counter(), busy_ms(), cpu_ms([os.getpid()])
    module = importlib.import_module(f"{name}_peer")
    values = SCENARIOS[scenario](module.Peer, json.loads(params))
    # What others took from the machine meanwhile, in cores: told before anything of ours ends.
    used = cpu_ms(tree(os.getpid())) - own
    values["foreign"] = max(0, busy_ms() - machine - used) / ((time.perf_counter() - at) * 1000)
    print(f"BENCH {json.dumps(values)}", flush=True)
    # No peer's shutdown is part of any measurement: the driver ends what is left, by its process ids.
    os._exit(0)


if __name__ == "__main__":
    main()
