#!/bin/sh
# Tonight's run, checked and loaded:  nightly-load.sh OUT TARGET LIST [options of run]
# TARGET is what "batch-screen load" takes as --to; no password belongs there. LOAD_WAITS are the
# pauses before its retries, in seconds, and LOAD_OPTIONS its other options. The exit code is that of
# the run, or of what failed later. Needs nightly.sh beside it.

set -u
out=$1 target=$2
shift 2
sh "$(dirname "$0")/nightly.sh" "$@" --out "$out"
code=$?
case $code in
0 | 3) ;; # complete; with 3 somebody should look at it as well
*) exit "$code" ;;
esac
batch-screen validate "$out" || exit
for wait in 0 ${LOAD_WAITS:-60 600 1800}; do
    sleep "$wait"
    # shellcheck disable=SC2086 (several options)
    batch-screen load "$out" --to "$target" ${LOAD_OPTIONS:-}
    loaded=$?
    case $loaded in
    69 | 71 | 73 | 75 | 130 | 143) ;; # it may pass: what is loaded stays, the rest is loaded
    *) break ;;
    esac
done
[ "$loaded" -eq 0 ] && exit "$code"
exit "$loaded"
