"""A bad cable for kernels without `tc netem`: carries frames between two interfaces, late, and loses some of them.

usage: wire.py <interface> <interface> <delay ms> <jitter ms> <loss %>
       wire.py --plain <interface>...    nothing is left to hardware that is not there: checksums, large segments
"""
import ctypes
import fcntl
import heapq
import random
import select
import socket
import struct
import sys
import time

SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO
OFFLOADS = (0x17, 0x1F, 0x24)
OUTGOING = 4


def plain(name):
    """Frames are relayed as they are sent: they have to be complete."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            off = ctypes.create_string_buffer(struct.pack("II", command, 0))
            try:
                fcntl.ioctl(control, SIOCETHTOOL, struct.pack("16sP", name.encode(), ctypes.addressof(off)))
            except OSError:
                pass  # It has none.


def opened(name):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.bind((name, 0))
    return end


def carry(first, second, delay, jitter, loss):
    ends = [opened(first), opened(second)]
    late = []
    count = 0
    print("ready", flush=True)
    while True:
        wait = max(0, late[0][0] - time.monotonic()) if late else None
        for end in select.select(ends, [], [], wait)[0]:
            frame, (_, _, kind, *_) = end.recvfrom(65536)
            if kind == OUTGOING or random.random() * 100 < loss:
                continue
            other = ends[1] if end is ends[0] else ends[0]
            count += 1
            due = time.monotonic() + (delay + random.uniform(-jitter, jitter)) / 1000
            heapq.heappush(late, (due, count, other, frame))
        while late and late[0][0] <= time.monotonic():
            _, _, other, frame = heapq.heappop(late)
            try:
                other.send(frame)
            except OSError:
                pass  # Its cable was taken out.


if sys.argv[1] == "--plain":
    for each in sys.argv[2:]:
        plain(each)
else:
    carry(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:6]))
