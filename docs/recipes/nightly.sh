#!/bin/sh
# Starts tonight's run, and starts it again where the exit code says that it may go on.
# All arguments go to "batch-screen run". RETRY_WAITS are the pauses before the retries, in seconds.
#
# With budget.* or schedule.stop_at take the 4 out of the list below: such a run is meant to be
# resumed tomorrow, not ten minutes later. several-nights.sh is for that.

set -u
day=$(date -u +%F) # said outright, so that a retry after midnight resumes the same run
code=0
for wait in 0 ${RETRY_WAITS:-600 1800 3600}; do
    sleep "$wait"
    batch-screen run "$@" --run-date "$day"
    code=$?
    case $code in
    4 | 69 | 71 | 73 | 75 | 130 | 143) ;; # it may pass: the same command resumes
    *) break ;;                           # 0 and 3: complete; 1, 2, 65, 66, 77: somebody has to look
    esac
done
exit "$code"
