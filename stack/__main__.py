"""python -m stack up | down | status | run | logs | start PART | stop PART"""

import argparse
import collections
import json
import os
import signal
import sys
from pathlib import Path

from stack import daemon, mesh
from stack.home import CHECKOUT, LINKED, Home, HomeError, default_path
from stack.supervisor import READY_STATES, StartError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m stack", description="The whole mesh on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything; returns when all is ready")
    commands.add_parser("down", help="stop everything; returns when all has stopped")
    status = commands.add_parser("status", help="a line a part; exits with 1 when not all are ready")
    status.add_argument("--json", action="store_true", help="one JSON list of {name, pid, port, state}")
    run = commands.add_parser("run", help="start everything here and stop it on Ctrl-C")
    logs = commands.add_parser("logs", help="the last lines of one part, or of all")
    logs.add_argument("part", nargs="?", default="all")
    logs.add_argument("--lines", type=int, default=50)
    for name in ("start", "stop"):
        one = commands.add_parser(name, help=f"{name} one part of the running stack")
        one.add_argument("part")
    for starting in (up, run, commands.add_parser("daemon")):
        starting.add_argument("--only", nargs="*", default=[], metavar="PART", help="these parts and what they need")
    commands.add_parser("check-envoy", help="have Envoy validate its configuration")
    arguments = parser.parse_args()
    try:
        if arguments.command == "check-envoy":
            return mesh.validate_envoy()
        home = open_home()
        match arguments.command:
            case "up":
                return daemon.up(home, edge_port(), arguments.only)
            case "down":
                return daemon.down(home)
            case "status":
                return show_status(home, arguments.json)
            case "logs":
                return show_log(home, arguments.part, arguments.lines)
            case "start" | "stop":
                return daemon.ask(home, arguments.command, arguments.part)
            case "run":
                return daemon.serve(home, edge_port(), arguments.only, sys.stdout.write)
            case "daemon":
                return daemon.serve(home, edge_port(), arguments.only, None)
    except (HomeError, StartError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    raise AssertionError(arguments.command)


def open_home() -> Home:
    chosen = os.environ.get("ECO2_HOME")
    home = Home(Path(chosen) if chosen else default_path())
    if not chosen and home.path.parent != CHECKOUT:
        said = f"the servers cannot use a folder in {CHECKOUT}: the data folder is {home.path}"
        sys.stderr.write(f"{said} ({', '.join(LINKED)} of .eco2 lead there)\n")
    return home


def edge_port() -> int:
    text = os.environ.get("ECO2_PORT") or "8080"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise HomeError(f"ECO2_PORT must be a port number, not {text!r}")
    return int(text)


def show_status(home: Home, as_json: bool) -> int:
    parts = daemon.status(home)
    if as_json:
        print(json.dumps([{key: part[key] for key in ("name", "pid", "port", "state")} for part in parts]))
    elif not parts:
        print("never started here; `make up` starts it")
    else:
        print(f"{'part':<16}{'pid':>8}{'port':>8}  state")
        for part in parts:
            again = f" (restarts: {part['restarts']})" if part["restarts"] else ""
            print(f"{part['name']:<16}{part['pid'] or '-':>8}{part['port'] or '-':>8}  {part['state']}{again}")
    return 0 if parts and all(part["state"] in READY_STATES for part in parts) else 1


def show_log(home: Home, part: str, lines: int) -> int:
    file = home.path / "log" / f"{part}.log"
    if not file.exists():
        raise HomeError(f"there is no log of {part} in {file.parent}")
    # `logs | head` ends quietly.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    with file.open(encoding="utf-8", errors="replace") as log:
        sys.stdout.writelines(collections.deque(log, lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
