"""The functions that every Python peer runs. Nothing here is specific to one of them."""

import os
import time
from array import array


def identity(x):
    return x


def square(x):
    return x * x


def square_all(xs):
    """A part of the inputs that was cut by hand, for libraries whose own map is one message per element."""
    squares = [x * x for x in xs]
    return squares if isinstance(xs, list) else array("q", squares)


def spin(iterations):
    """A fixed amount of work, not a fixed time: see ../../child/ops.mjs."""
    h = 1
    for i in range(iterations):
        h = (h * 1664525 + i) & 0xFFFFFFFF
    return h


def hold(seconds):
    """Keeps its slot, and no core, busy."""
    time.sleep(seconds)
    return seconds


def touch(data):
    """Reads each page, so that the bytes really are here. Says where "here" is."""
    return [len(data), sum(data[::4096]), os.getpid()]


def announce(arg):
    """Appends to a file that it runs now, then keeps its slot."""
    path, index, seconds = arg
    with open(path, "a") as file:
        file.write(f"{index} {os.getpid()} {time.monotonic_ns()}\n")
    time.sleep(seconds)
    return index


BY_NAME = {f.__name__: f for f in (identity, square, square_all, spin, hold, touch, announce)}


def run(name, arg):
    return BY_NAME[name](arg)
