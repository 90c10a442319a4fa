#!/bin/sh
# Starts tonight's run as a job of a Ray cluster that is there already:
#
#     RAY_API_SERVER_ADDRESS=http://head.example:8265 ray-job.sh
#
# Ray keeps the workers alive and does no more. Each machine of the cluster needs
# - batch-screen with the extra "ray", and Ray and Python, all of the same version as the others;
# - the folder /shared at the same path, on one file system that all of them see;
# - the API key in the file that [api] key_file of batch-screen.toml names, at the same path. It is in
#   no argument, environment or runtime_env of the job: those stand in Ray's dashboard.
#
# It waits for the end and ends with the job. "ray job stop" gives a run three seconds to save what
# is under way: set RAY_JOB_STOP_WAIT_TIME_S=60 where the head is started. The same line resumes.
set -eu

exec ray job submit --submission-id "screening-$(date -u +%Y%m%d-%H%M%S)" -- \
    batch-screen run /shared/customers.parquet \
    --out /shared/screened \
    --config /shared/batch-screen.toml \
    --engine ray --workers 4
