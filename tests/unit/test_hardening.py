#!/usr/bin/python3
"""Reads the hardening that cmake/Hardening.cmake asks for back from the programs that were built.

usage: test_hardening.py BIN_FOLDER    exit 77 if no program is there yet
"""
import os
import re
import subprocess
import sys

PROGRAMS = ("containarium-gateway", "containariumd", "containarium")
# The build's arrows, seen from outside: what a program must not be able to do, it must not even be linked to.
FORBIDDEN = {
    "containarium-gateway": ("libsqlite3", "libcurl"),
    "containariumd": ("libssh",),
    "containarium": ("libsqlite3", "libssh"),
}
# A static library leaves no NEEDED line, but its symbols or strings.
FORBIDDEN_STRINGS = {"containariumd": b"libssh-", "containarium-gateway": b"SQLite format 3"}


def readelf(*args):
    return subprocess.run(("readelf", "-W") + args, check=True, capture_output=True, text=True).stdout


def sanitized(symbols):
    return "__asan_init" in symbols or "__tsan_init" in symbols or "__ubsan" in symbols


def problems(path, name):
    header, segments, dynamic, symbols = (readelf(o, path) for o in ("-h", "-l", "-d", "--dyn-syms"))
    found = []
    if not re.search(r"Type:\s+DYN", header) or "PIE" not in dynamic:
        found.append("not position independent (PIE)")
    if "GNU_RELRO" not in segments:
        found.append("no RELRO segment")
    if "BIND_NOW" not in dynamic and "NOW" not in dynamic:
        found.append("not bound at start (BIND_NOW)")
    stack = re.search(r"GNU_STACK\s.*", segments)
    if stack is None or "E" in stack.group(0).split()[-2]:
        found.append("executable stack")
    if re.search(r"^\s*LOAD\s.*RWE", segments, re.M):
        found.append("a segment that is writable and executable")
    if "__stack_chk_fail" not in symbols:
        found.append("no stack protector")
    if not sanitized(symbols) and not re.search(r"__\w+_chk@", symbols.replace("__stack_chk_fail", "")):
        found.append("no fortified call (_FORTIFY_SOURCE)")
    if "RUNPATH" in dynamic or "RPATH" in dynamic:
        found.append("a run path: libraries could be slipped in")
    for library in FORBIDDEN[name]:
        if re.search(r"NEEDED.*\[" + library + r"[.-]", dynamic):
            found.append("links " + library)
    word = FORBIDDEN_STRINGS.get(name)
    if word is not None:
        with open(path, "rb") as file:
            if word in file.read():
                found.append("contains " + word.decode() + ": linked statically?")
    return found


def main():
    folder = sys.argv[1]
    built = [name for name in PROGRAMS if os.access(os.path.join(folder, name), os.X_OK)]
    failed = 0
    for name in built:
        found = problems(os.path.join(folder, name), name)
        print("%s: %s" % (name, "; ".join(found) if found else "ok"))
        failed += len(found)
    if not built:
        print("no program in %s yet" % folder)
        return 77
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
