"""Starts daemons quickly: a process that has everything imported forks one for each line it reads, and tells its number.

What runs in the fork is `ambienti run` as a process of its own; only the second that Python takes to import is saved. Commands:
`start SITE_FILE LOG_FILE` answers with the pid, `wait PID` with its wait status.
"""

import os
import sys


def main() -> None:
    """Read commands until the end."""
    from importlib import metadata

    import scheduler.commands.cli
    import scheduler.commands.loop
    import scheduler.daemon.daemon
    import scheduler.site.compose
    import scheduler.site.definitions
    import scheduler.site.reload  # noqa: F401 - imported once here rather than in every daemon
    import tests.lab.outside  # noqa: F401

    for group in ("ambienti.batch_systems", "ambienti.hypervisors"):
        for entry in metadata.entry_points(group=group):
            if entry.name in {"outside", "libvirt"}:
                entry.load()
    print("ready", flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "start":
            print(_start(*arguments), flush=True)
        else:
            print(os.waitpid(int(arguments[0]), 0)[1], flush=True)


def _start(site: str, log: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(out, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setsid()
    from scheduler.commands.cli import main as ambienti

    status = 1
    try:
        ambienti(["run", "--site", site])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
