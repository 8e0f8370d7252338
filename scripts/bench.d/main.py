"""scripts/bench.sh: measures wspushd, alone or compared with others, and draws the results.

Without --against, --gaps or --scale, it runs the modes of wspush-bench on a server and a Redis that it
starts, or on a server that is already running (--server).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(ROOT / "tests/integration")]

SIZES = [100, 1000, 10000, 19000]


def numbers(text):
    return [int(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/bench.sh", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__)
    add = parser.add_argument
    add("--against", metavar="NAME,...", help="compare with these peers (all: each in bench/peers)")
    add("--check", action="store_true", help="only check that each peer delivers its pushes")
    add("--gaps", action="store_true", help="effect of a kill, a reload and an upgrade on clients")
    add("--scale", action="store_true", help="several nodes on one Redis, and no other part")
    add("--nodes", type=numbers, default=[1, 2, 4], metavar="N,...", help="so many (default 1,2,4)")
    add("--users", type=int, default=4000, help="of each node (default %(default)s)")
    add("--idle", type=float, default=9, help="seconds for which --scale lets nodes do nothing")
    add("--rounds", type=int, help="of the comparison (default 5) and of --scale (default 2)")
    add("--connections", type=int, default=6000, help="clients (default %(default)s)")
    add("--seconds", type=float, default=1.5, help="for each mode (default %(default)s)")
    add("--warmup", type=float, default=0.5, help="before that (default %(default)s)")
    add("--rate", type=int, default=10000, help="of the open loop (default %(default)s)")
    add("--kills", type=int, default=100, help="for each size of the gaps (default %(default)s)")
    add("--reloads", type=int, default=30, help="and upgrades, likewise (default %(default)s)")
    add("--gap-sizes", default=SIZES, metavar="N,...", help="connections (default 100 to 19,000)",
        type=numbers)
    add("--quick", action="store_true", help="2 rounds, 2,000 clients, 1 s, 5 kills")
    add("--without", default="", metavar="MODE,...", help="modes to leave out, without --against")
    add("--write", metavar="DIR", help="write benchmarks.md, plots and results there; with all parts. "
        "With --scale: scaling.md")
    add("--from", dest="source", metavar="FILE", help="draw these results instead of measuring. "
        "With --gaps: measure these again and keep the rest")
    add("--server", metavar="URL", help="of a wspushd that runs already, for its modes")
    add("--server-pid", type=int, help="of that server")
    add("--redis", default="redis://127.0.0.1:6379", metavar="URL", help="of that server")
    if parser.parse_args().quick:      # explicit options take precedence
        parser.set_defaults(rounds=2, connections=2000, seconds=1, kills=5, reloads=3,
                            gap_sizes=[100, 1000, 5000])
    how = parser.parse_args()
    how.gaps_again = how.source and how.gaps
    how.rounds = how.rounds or (2 if how.scale else 5)
    if how.write and not how.scale:
        how.gaps = True
    if (how.write and not how.scale) or how.check:
        how.against = how.against or "all"
    how.without = how.without.split(",")
    return how


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard > 0 else soft, hard))


def chosen(how):
    from servers import KINDS, peers
    there = peers()
    wanted = there if how.against == "all" else how.against.split(",")
    if unknown := [name for name in wanted if name not in KINDS]:
        sys.exit(f"scripts/bench.sh: no such peer: {' '.join(unknown)}")
    if missing := [name for name in wanted if name not in there and not KINDS[name].ours]:
        sys.exit(f"scripts/bench.sh: bench/peers has no {' '.join(missing)}")
    always = ["wspushd", "wspushd-2", *(["wspushd-jwt"] if how.against == "all" else [])]
    return always + [name for name in wanted if name not in always]


def given_server(how):
    from servers import KINDS, Running
    options = {"publish": how.redis, "dialect": "wspush"}
    if how.server_pid:
        options["server_pid"] = how.server_pid
    else:
        how.without += ["crash", "reload", "upgrade"]
    return Running(KINDS["wspushd-2"], how.server, how.server_pid, how.redis, options)


def check_all(how, directory):
    import check
    from harness.redis_server import RedisServer
    from servers import KINDS, Stage

    redis = RedisServer(directory).start()
    try:
        names = [name for name in chosen(how) if not KINDS[name].ours]
        return check.check(Stage(directory, redis), redis, names)
    finally:
        redis.stop()


def measure_all(how, directory):
    import machine
    import measure
    import scale
    from harness.redis_server import RedisServer
    from servers import KINDS, Stage

    results = {"machine": machine.describe(),
               "how": {"rounds": how.rounds, "connections": how.connections,
                       "seconds": how.seconds, "rate": how.rate}}
    if how.scale:
        results["how"] = {"rounds": how.rounds, "users": how.users, "seconds": how.seconds}
        results["scale"] = scale.measure(how, directory)
        return results
    if how.server:
        results["own"] = measure.on_server(given_server(how), how)
        return results
    redis = RedisServer(directory).start()
    try:
        stage = Stage(directory, redis)
        names = chosen(how) if how.against else []
        if how.against and not how.source:
            results["compare"] = measure.compare(stage, how, names)
        if how.gaps:
            peers = [name for name in names if KINDS[name].children]
            results["gaps"] = measure.gaps(stage, how, ["wspushd-2", *peers])
        if not how.against and not how.gaps:
            results["own"] = measure.own(stage, how)
    finally:
        redis.stop()
    return results


def build():
    """Builds the programs unless WSPUSHD_BUILD names a finished build."""
    if "WSPUSHD_BUILD" not in os.environ:
        subprocess.run(["make", "-s", "-C", ROOT, "all"], check=True)


def in_folder(do, how):
    """Calls `do` with the build and a temporary folder; returns its result."""
    build()
    raise_descriptor_limit()
    directory = Path(tempfile.mkdtemp(prefix="wspushd-bench."))
    try:
        return do(how, directory)
    finally:
        shutil.rmtree(directory)


def main():
    how = arguments()
    own_peers = "BENCH_PEERS" in os.environ     # which do not need our build
    subprocess.run([ROOT / "scripts/setup", "bench" if how.against and not own_peers else "counts"],
                   check=True)
    out = Path(how.write) if how.write else ROOT / "build/bench"
    if how.check:
        failed = in_folder(check_all, how)
        sys.exit(f"scripts/bench.sh: {' '.join(failed)}: not to be measured" if failed else 0)
    results = json.loads(Path(how.source).read_text()) if how.source else in_folder(measure_all, how)
    if how.gaps_again:
        results["gaps"] = in_folder(measure_all, how)["gaps"]
    import page
    import scale_page
    written = (scale_page if how.scale else page).write(results, out)
    for path in written:
        if path.suffix == ".md":
            print(path.read_text())
    print("written:", *written, sep="\n  ", file=sys.stderr)
    parts = results.get("compare", []) + results.get("gaps", [])
    if failed := {entry["server"] for entry in parts if not entry["modes"]}:
        sys.exit(f"scripts/bench.sh: not all was measured: {' '.join(sorted(failed))}")


if __name__ == "__main__":
    main()
