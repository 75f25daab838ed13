#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What one hot alloc and one hot free are made of, stepped through in the VM.

usage: opcount.py KERNEL CONSOLE SOCKET	rows of the CSV, for `make bench`

An instruction count hides that a locked read-modify-write costs many times a plain
one. quarry_bench with mode=step calls bench_mark() before an alloc and a free of each
allocator, with a reading of the time-stamp counter before, between and after. This
program talks to QEMU's gdb stub at SOCKET; the module tells it on the console where
things are. It steps from each mark to the third reading and has
the bytes that were executed disassembled from the guest's memory, where alternatives
and static keys are patched. The same of the empty loop is subtracted. x86-64 only.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time

RIP, RDI = 16, 5
LONGEST = 200000
SLOT = 32	# 16 bytes of code, then nops, behind which the next is in step again
KINDS = ["stepped", "locked", "cmpxchg", "cli", "memory", "branches", "nops"]
BRANCH = re.compile(r"^(bnd )?(j|call|ret)")
NOP = re.compile(r"\b(nop[wl]?|endbr64)\b|^xchg +%ax,%ax$")


class Stub:
    """As much of gdb's remote protocol as it takes."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b""
        # That the VM has stopped for us may have been told, or not
        answer = self.ask("qAttached")
        while answer != "1":
            answer = self.answer()
        # QEMU gives single registers to those alone that have asked for their description
        self.ask("qXfer:features:read:target.xml:0,1")

    def ask(self, command):
        """Send a packet; its answer."""
        data = command.encode()
        self.socket.sendall(b"$%s#%02x" % (data, sum(data) % 256))
        return self.answer()

    def answer(self):
        """The next packet."""
        while True:
            match = re.search(rb"\$([^#]*)#..", self.buffer, re.S)
            if match:
                self.buffer = self.buffer[match.end():]
                self.socket.sendall(b"+")
                return match[1].decode()
            received = self.socket.recv(65536)
            if not received:
                sys.exit("opcount: the VM has gone")
            self.buffer += received

    def register(self, number):
        """One of 64 bits."""
        return int.from_bytes(bytes.fromhex(self.ask("p%x" % number)), "little")

    def memory(self, address, size):
        """Bytes of the guest; fewer than asked for at the end of what is mapped."""
        while size:
            answer = self.ask("m%x,%x" % (address, size))
            if not answer.startswith("E"):
                return bytes.fromhex(answer)
            size -= 1
        return b""


def addresses(path):
    """Of the mark and of the flag, once the module has told them."""
    for _ in range(3000):
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                found = re.search(r"quarry_bench: step: mark (\w+), go (\w+)", file.read())
            if found:
                return [int(address, 16) for address in found.groups()]
        time.sleep(0.2)
    sys.exit("opcount: the module has not come up")


def disassemble(codes):
    """The text of each piece of code."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(code.ljust(SLOT, b"\x90") for code in codes))
        file.flush()
        out = subprocess.run([os.environ.get("OBJDUMP", "objdump"), "-D", "-b", "binary", "-m", "i386:x86-64",
                              "--no-show-raw-insn", file.name], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ *([0-9a-f]+):\t([^#\n]*)", out, re.M)
    return [text.strip() for address, text in found if int(address, 16) % SLOT == 0]


def kinds(text):
    """Which columns an instruction counts in."""
    found = {"stepped"}
    name = text.split()[0]
    if NOP.search(text):
        return found | {"nops"}
    if name == "lock" or (name == "xchg" and "(" in text):
        found.add("locked")
    elif name.startswith("cmpxchg"):
        found.add("cmpxchg")
    if name in ("cli", "sti", "pushf", "popf"):
        found.add("cli")
    if BRANCH.match(text):
        found.add("branches")
    elif name in ("push", "pop") or (("(" in text or "%gs:" in text) and name != "lea"):
        found.add("memory")
    return found


def trace(stub):
    """Addresses from the mark to the third rdtsc: all before the first, then alloc's, then free's."""
    parts, seen = [[]], {}
    for _ in range(LONGEST):
        address = stub.register(RIP)
        if address not in seen:
            seen[address] = stub.memory(address, 16)
        parts[-1].append(address)
        if seen[address].startswith(b"\x0f\x31"):
            if len(parts) == 3:
                return parts[1:], seen
            parts.append([])
        stub.ask("s")
    sys.exit("opcount: no end after %d instructions" % LONGEST)


def count(stub):
    """The columns of an alloc and of a free."""
    parts, seen = trace(stub)
    columns = dict(zip(seen, map(kinds, disassemble(seen.values()))))
    return [{kind: sum(kind in columns[address] for address in part) for kind in KINDS} for part in parts]


def main():
    """All marks, until one that names nothing."""
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    mark, flag = addresses(sys.argv[2])
    stub = Stub(sys.argv[3])
    stub.ask("Z0,%x,1" % mark)
    stub.ask("M%x,1:01" % flag)
    empty = None
    while stub.ask("c").startswith("T05") and stub.register(RDI):
        name = stub.memory(stub.register(RDI), 32).split(b"\0")[0].decode()
        found = count(stub)
        empty = empty or found
        found = [{kind: part[kind] - none[kind] for kind in KINDS} for part, none in zip(found, empty)]
        found.append({kind: found[0][kind] + found[1][kind] for kind in KINDS})
        for way, part in zip(("alloc", "free", "pair"), found):
            for kind in KINDS:
                print("%s,gdbstub,%s,%s.%s,%d,task,%d,instructions" % (
                    sys.argv[1], name, way, kind, 4096 if "vmalloc" in name else 64, part[kind]))
    stub.ask("z0,%x,1" % mark)
    stub.ask("D")


if __name__ == "__main__":
    main()
