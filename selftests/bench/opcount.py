#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the hit paths are made of, from quarry.ko as built.

usage: opcount.py [--csv KERNEL] quarry.ko [function ...]

An instruction count hides that a locked read-modify-write costs many times a
plain one. For each function this follows the shortest way from its entry to its
return that touches a per-CPU word (where there is one owner: that stores a word)
and calls nothing. That is the hit path: a miss ends in a call or a jump to the
slow path, and a NULL turns back at once.
It counts kinds of instructions along it. x86-64 only.
"""

import os
import re
import subprocess
import sys

PERCPU = re.compile(r"%gs:")
STORE = re.compile(r"^mov\w*\s+[%$]\w+,\S*\(%")

# What a hit has touched that a refusal has not.
FUNCTIONS = {
    "quarry_pool_alloc": PERCPU,
    "quarry_pool_free": PERCPU,
    "quarry_bump_alloc_const": PERCPU,
    "quarry_percpu_arena_alloc_const": PERCPU,
    "quarry_arena_alloc_const": STORE,
    "quarry_arena_alloc_any": STORE,
    "quarry_stack_push": STORE,
    "quarry_stack_pop": STORE,
}
KINDS = ["instructions", "locked", "cli/sti", "memory", "branches", "nop/endbr"]
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(.*?)\s*(?:#.*)?$")
RELOCATION = re.compile(r"^\s*[0-9a-f]+: R_\S+\s+(\S+)")
TARGET = re.compile(r"^([0-9a-f]+) <")


def functions_of(module):
    """Instructions [address, text, relocation] by function."""
    objdump = os.environ.get("OBJDUMP", "objdump")
    text = subprocess.run([objdump, "-dr", "--no-show-raw-insn", module],
                          check=True, capture_output=True, text=True).stdout
    functions = {}
    current = None
    for line in text.splitlines():
        start = re.match(r"^[0-9a-f]+ <([^>]+)>:$", line)
        if start:
            current = functions.setdefault(start.group(1), [])
            continue
        match = INSTRUCTION.match(line)
        if match and current is not None:
            current.append([int(match.group(1), 16), match.group(2), ""])
            continue
        match = RELOCATION.match(line)
        if match and current:
            current[-1][2] = match.group(1)
    return functions


def kinds(text, relocation):
    """Which columns an instruction counts in, besides the first."""
    name = text.split()[0]
    if relocation.startswith("__fentry__") or name in ("endbr64", "nop", "nopw", "nopl"):
        return {"nop/endbr"}
    found = set()
    if name == "lock" or (name == "xchg" and "(" in text):
        found.add("locked")
    if name in ("cli", "sti", "pushf", "popf"):
        found.add("cli/sti")
    if name[0] == "j":
        found.add("branches")
    elif "(" in text and name != "lea":
        found.add("memory")
    if name in ("push", "pop"):
        found.add("memory")
    return found


def hit_path(code, mark):
    """The shortest way to a return, as a list of positions."""
    where = {instruction[0]: i for i, instruction in enumerate(code)}
    ways = [([0], False)]
    seen = set()
    while ways:
        way, marked = ways.pop(0)
        at = way[-1]
        if at >= len(code) or (at, marked) in seen:
            continue
        seen.add((at, marked))
        _, text, relocation = code[at]
        name, operand = (text.split(None, 1) + [""])[:2]
        marked = marked or bool(mark.search(text))
        if name == "ret" or (name == "jmp" and "return_thunk" in relocation):
            if marked:
                return way
            continue
        if name == "call" and not relocation.startswith("__fentry__"):
            continue
        target = TARGET.match(operand)
        if name[0] == "j" and target and not relocation:
            goes = where.get(int(target.group(1), 16))
            if goes is not None:
                ways.append((way + [goes], marked))
        if name != "jmp":
            ways.append((way + [at + 1], marked))
    return None


def count(code, mark):
    """The columns for one function, or None."""
    way = hit_path(code, mark)
    if way is None:
        return None
    total = dict.fromkeys(KINDS, 0)
    total["instructions"] = len(way)
    for at in way:
        for kind in kinds(code[at][1], code[at][2]):
            total[kind] += 1
    return total


def main():
    """Print the table."""
    arguments = sys.argv[1:]
    kernel = None
    if len(arguments) > 1 and arguments[0] == "--csv":
        kernel = arguments[1]
        arguments = arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    functions = functions_of(arguments[0])
    if kernel is None:
        print("%-28s" % "hit path" + "".join("%14s" % kind for kind in KINDS))
    status = 0
    for name in arguments[1:] or FUNCTIONS:
        total = count(functions.get(name, []), FUNCTIONS.get(name, PERCPU))
        if kernel is not None:
            for kind in KINDS if total else []:
                print("%s,objdump,%s,hit-path,64,any,%d,%s"
                      % (kernel, name, total[kind], kind))
        elif total is None:
            print("%-28s no way without a call" % name)
            status = 1
        else:
            print("%-28s" % name + "".join("%14d" % total[kind] for kind in KINDS))
    return status


if __name__ == "__main__":
    sys.exit(main())
