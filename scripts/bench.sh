#!/bin/sh
# Measures wspushd with wspush-bench: alone, beside other servers, and while it is killed, reloaded and
# upgraded. `scripts/bench.sh --help` says how; what it does is in scripts/bench.d.
#
#   scripts/bench.sh                                          every mode, on a server of its own
#   scripts/bench.sh --server ws://HOST:PORT/ws               every mode, on a server that runs
#   scripts/bench.sh --against nchan,gorilla,ws,socketio,floor    beside these, in turn
#   scripts/bench.sh --check                                  whether the others do what they should
#   scripts/bench.sh --against all --rounds 5 --write docs/   docs/benchmarks.md; half an hour
#   scripts/bench.sh --scale --write docs/                    docs/scaling.md, several nodes; 4 minutes
#
# Debian's interpreter: another one in PATH would not have Debian's modules.
exec /usr/bin/python3 "$(dirname "$0")/bench.d/main.py" "$@"
