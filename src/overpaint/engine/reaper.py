"""A program beside a Ray of this machine: when its standard input ends, it ends what Ray left.

python reaper.py NAME=VALUE

The pipe at its standard input ends with the process that started Ray, however that ends. Most of
Ray's processes end then too, but some look for the others for a minute first. All of them have the
variable NAME=VALUE in their environment, or were started by one that has: the latter are looked up
whenever a line comes. (Where there is no /proc, the minute has to be waited.)

It reads /proc itself and not by psutil: it is started with -I -S, so that nothing of the user's
environment runs in it, and then no package can be imported.
"""

import os
import signal
import sys
from contextlib import suppress

Process = tuple[int, str]  # number, and when it was started: numbers are used again


def main() -> None:
    """Wait for the end, then end all that was found."""
    mark = os.fsencode(sys.argv[1])
    found: set[Process] = set()
    for _ in sys.stdin.buffer:
        found |= marked(mark)
    found |= marked(mark)
    alive = {process for process, _ in processes()}
    for number, _ in found & alive:
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)


def marked(mark: bytes) -> set[Process]:
    """The processes with `mark` in their environment, and those that they started."""
    all_of_them = list(processes())
    found = {process for process, _ in all_of_them if has(process[0], mark)}
    while True:
        numbers = {number for number, _ in found}
        more = {process for process, parent in all_of_them if parent in numbers} - found
        if not more:
            return found
        found |= more


def has(number: int, mark: bytes) -> bool:
    """Whether a process has `mark` in its environment."""
    with suppress(OSError), open(f"/proc/{number}/environ", "rb") as stream:
        return mark in stream.read().split(b"\0")
    return False


def processes() -> list[tuple[Process, int]]:
    """Every process of this machine, and the number of its parent."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8") as stream:
                # What stands before it is the program's name in brackets, which may hold anything.
                words = stream.read().rpartition(")")[2].split()
                found.append(((int(name), words[19]), int(words[1])))
    return found


if __name__ == "__main__" and os.path.isdir("/proc"):
    main()
