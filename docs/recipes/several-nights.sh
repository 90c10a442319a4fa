#!/bin/sh
# Screens a list that takes several nights: begins a run, or resumes the one that is not complete yet.
# All arguments go to "batch-screen run" and stay the same every night; --stop-at ends each of them.
#
# KEPT is the file that keeps the date of the first night, under which all of them are one run. It is
# removed when the run is complete, so that the next night begins a new one.

set -u
kept=${KEPT:-/srv/screened-run-date}
[ -s "$kept" ] || date -u +%F > "$kept" || exit 73
batch-screen run "$@" --run-date "$(cat "$kept")"
code=$?
case $code in
0 | 3) rm "$kept" ;; # complete; after any other code the next night resumes the same run
esac
exit "$code"
