#!/bin/sh
# Measures wspushd with wspush-bench: alone, beside other servers, and while it is killed, reloaded and
# upgraded. `scripts/bench.sh --help` lists the options; the code is in scripts/bench.d.
#
#   scripts/bench.sh                                          every mode, on a server that it starts
#   scripts/bench.sh --server ws://HOST:PORT/ws               every mode, on a running server
#   scripts/bench.sh --against nchan,gorilla,ws,socketio,floor    compared with these, in turn
#   scripts/bench.sh --check                                  checks that the others deliver pushes correctly
#   scripts/bench.sh --against all --rounds 5 --write docs/   docs/benchmarks.md; half an hour
#   scripts/bench.sh --scale --write docs/                    docs/scaling.md, several nodes; 4 minutes
#
# Debian's interpreter: a different one in PATH would lack Debian's modules.
exec /usr/bin/python3 "$(dirname "$0")/bench.d/main.py" "$@"
