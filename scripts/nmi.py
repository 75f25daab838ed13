#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Sends NMIs to a VM through QEMU's monitor while its job asks for them.

nmi.py MONITOR VERDICT_LOG: an NMI to each CPU every 50 ms from the job's line
`quarry-nmi: start` to `quarry-nmi: stop`; ends with the VM.
"""
import socket
import sys
import time


def connect(path):
    while True:
        try:
            monitor = socket.socket(socket.AF_UNIX)
            monitor.connect(path)
            monitor.setblocking(False)
            return monitor
        except OSError:
            time.sleep(0.2)


def wanted(log):
    try:
        with open(log, errors="replace") as lines:
            asked = [l for l in lines if l.startswith("quarry-nmi: ")]
    except OSError:
        return False
    return bool(asked) and asked[-1].split()[1] == "start"


def main():
    monitor = connect(sys.argv[1])
    while True:
        try:
            if wanted(sys.argv[2]):
                monitor.send(b"nmi\n")
            if monitor.recv(1 << 16) == b"":
                return
        except BlockingIOError:
            pass
        except OSError:
            return
        time.sleep(0.05)


main()
