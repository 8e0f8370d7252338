"""scripts/bench.sh: measures, compares with a peer made by the test, and writes the page and plots."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree

import pytest

from harness.bench import make_peers
from harness.wait import BUILD, ROOT, TIMEOUT


def bench(*arguments, peers=None):
    env = {**os.environ, "WSPUSHD_BUILD": str(BUILD.absolute())}
    if peers:
        env["BENCH_PEERS"] = str(peers)
    done = subprocess.run([ROOT / "scripts/bench.sh", *map(str, arguments)], env=env, text=True,
                          capture_output=True, timeout=TIMEOUT * 5, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def peers(tmp_path):
    return make_peers(tmp_path / "peers")


def texts(path):
    """All text of a plot, which must be well-formed."""
    root = xml.etree.ElementTree.parse(path).getroot()
    return " ".join("".join(element.itertext()) for element in root.iter())


def table_rows(page, head):
    """A table that has this column: {name of the row: {column: cell}}."""
    tables = [[[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()]
              for lines in re.findall(r"(?:^\|.*\|\n)+", page, re.M)]
    table, = (table for table in tables if head in table[0])
    return {row[0].strip("*"): dict(zip(table[0], row)) for row in table[2:]}


def cell_numbers(cell):
    return [float(text.replace(",", "")) for text in re.findall(r"\d[\d.,]*", cell)]


def assert_near(said, meant):
    """Three digits are shown."""
    assert said == pytest.approx(meant, rel=0.006)


def test_ratios_and_medians_of_the_shipped_page_agree(tmp_path, peers):
    """The ratio of two numbers of a column must equal the ratio printed next to them."""
    bench("--from", ROOT / "docs/benchmarks/results.json", "--write", tmp_path, peers=peers)
    page = (tmp_path / "benchmarks.md").read_text()
    assert page == (ROOT / "docs/benchmarks.md").read_text(), "write it again: scripts/bench.sh --from"
    rows = table_rows(page, "CPU µs for a push")
    ratios = 0
    for name, row in rows.items():
        for column, cell in row.items():
            numbers = cell_numbers(cell)
            assert all(len(re.sub(r"\.|,|^0\.?0*", "", text).rstrip("0")) <= 3
                       for text in re.findall(r"\d[\d.,]*", cell) if column), f"{cell}: three digits"
            if "×" in cell:
                assert numbers[1] == pytest.approx(
                    numbers[0] / cell_numbers(rows["wspushd"][column])[0], rel=0.012)
                ratios += 1
            elif " to " in cell:
                assert numbers[1] <= numbers[0] <= numbers[2] and numbers[2] > 2 * numbers[1]
    assert ratios > 40
    for plot in (tmp_path / "benchmarks").glob("*.svg"):
        assert plot.read_text() == (ROOT / "docs/benchmarks" / plot.name).read_text(), plot.name


def test_the_shipped_page_of_nodes_is_what_the_results_say(tmp_path, peers):
    bench("--scale", "--from", ROOT / "docs/scaling/results.json", "--write", tmp_path, peers=peers)
    page = (tmp_path / "scaling.md").read_text()
    assert page == (ROOT / "docs/scaling.md").read_text(), "write it again: --scale --from"


@pytest.mark.timeout(300)
def test_the_page_says_what_was_measured(tmp_path, peers):
    bench("--against", "all", "--rounds", 2, "--connections", 24, "--seconds", "0.2", "--rate", 200,
          "--warmup", "0.1", "--gap-sizes", "4,40", "--kills", 1, "--reloads", 1, "--write", tmp_path, peers=peers)
    page = (tmp_path / "benchmarks.md").read_text()
    results = json.loads((tmp_path / "benchmarks/results.json").read_text())
    plots = re.findall(r"!\[.*\]\((benchmarks/.*\.svg)\)", page)
    assert len(plots) == len(set(plots)) >= 9
    for plot in plots:
        assert "wspushd" in texts(tmp_path / plot)
    assert "floor" in texts(tmp_path / "benchmarks/unicast.svg")

    ours, peer = ([entry["modes"]["unicast"]["server_us"] for entry in results["compare"]
                   if entry["server"] == name] for name in ("wspushd", "floor"))
    assert len(ours) == len(peer) == 2 and min(ours + peer) > 0
    row = table_rows(page, "CPU µs for a push")["floor"]
    assert row["lost, doubled or out of order"] == "0"
    median, *beside = cell_numbers(row["CPU µs for a push"])
    assert_near(median, sum(peer) / 2)
    if max(max(both) / min(both) for both in (ours, peer)) <= 2:
        assert_near(beside[0], sum(peer) / sum(ours))
    elif max(peer) > 2 * min(peer):
        assert [min(peer), max(peer)] == pytest.approx(beside, rel=0.006)
    gap = [line for line in page.splitlines() if "| worker killed |" in line]
    assert [line.split(" | ")[1] for line in gap] == ["4", "40"]

    again = tmp_path / "again"
    measured = tmp_path / "benchmarks/results.json"
    bench("--from", measured, "--write", again, peers=peers)
    assert (again / "benchmarks.md").read_text() == page

    bench("--from", measured, "--gaps", "--gap-sizes", "8", "--rounds", 2, "--kills", 1, "--reloads", 1,
          "--write", again, peers=peers)
    fresh = json.loads((again / "benchmarks/results.json").read_text())
    assert fresh["compare"] == results["compare"]
    assert [entry["connections"] for entry in fresh["gaps"]] == [8, 8]


def test_a_server_that_runs_already(make_server, redis):
    server = make_server(prefix="push:", topics=["bench:*"], workers=1)
    host, port = server.address
    out = bench("--server", f"ws://{host}:{port}/ws", "--redis", f"redis://127.0.0.1:{redis.port}",
                "--connections", 8, "--seconds", "0.1", "--warmup", "0.1", "--without", "upstream,mixed,steady")
    rows = re.findall(r"^([a-z]+) +8 ", out, re.M)
    assert rows == ["idle", "connect", "unicast", "burst", "topic", "broadcast", "churn"]


def scale_row(page, what):
    """The numbers of a row of a constant, without its unit and symbol."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {what} |"))
    return [float(text.replace(",", "")) for text in row.split(" | ")[2:-1]]


def test_nodes_on_one_redis(tmp_path):
    """Checks the results that do not depend on the machine: the recipients of each push and the
    subscriptions; and that the page agrees with the results."""
    bench("--scale", "--nodes", "1,3", "--users", 40, "--seconds", "0.2", "--warmup", "0.1",
          "--rounds", 1, "--idle", "0.2", "--write", tmp_path)
    results = json.loads((tmp_path / "scaling/results.json").read_text())
    one, three = results["scale"]
    assert [one["nodes"], three["nodes"]] == [1, 3]
    for entry in (one, three):
        assert entry["push_nodes"] == 1, "a push to a user goes only to the user's node"
        assert entry["all_copies"] == entry["nodes"], "a push to all goes to every node"
        assert entry["links"] == 1
        assert 1 <= entry["connect_channels"] <= 40 and entry["anew_channels"] >= 30
        assert 30 < entry["anew_bytes"] < 200
        assert 50 < entry["redis_user_bytes"] < 1000
        assert all(value >= 0 for name, value in entry.items() if name.endswith("_us"))
        assert min(entry["push_redis_us"], entry["push_node_us"], entry["all_redis_us"]) > 0

    page = (tmp_path / "scaling.md").read_text()
    said = scale_row(page, "CPU for a push to a user")
    assert said == pytest.approx([one["push_redis_us"], three["push_redis_us"]], rel=0.01)
    mean = (one["push_redis_us"] + three["push_redis_us"]) / 2
    share = next(line for line in page.splitlines() if "| `P · r_push` |" in line)
    assert float(share.split(" | ")[-1].split()[0]) == pytest.approx(5 * mean, rel=0.01)
    assert "wspush" in page and "Redis" in texts(tmp_path / "scaling/redis.svg")

    again = tmp_path / "again"
    bench("--scale", "--from", tmp_path / "scaling/results.json", "--write", again)
    assert (again / "scaling.md").read_text() == page


def test_wrong_peers_are_told(peers):
    env = {**os.environ, "BENCH_PEERS": str(peers), "WSPUSHD_BUILD": str(BUILD.absolute())}
    for name, why in [("varnish", "no such peer: varnish"), ("nchan", "has no nchan")]:
        done = subprocess.run([ROOT / "scripts/bench.sh", "--against", name], env=env, text=True,
                              capture_output=True, timeout=TIMEOUT)
        assert done.returncode == 1 and why in done.stderr
