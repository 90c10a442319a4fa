"""Starts batch-screen on a Databricks driver, for the task of databricks-job.json.

As a process of its own: a task's Python has an event loop already, and what Spark's driver prints
is kept by the workspace. All parameters are the command's.
"""

import subprocess
import sys

ended = subprocess.run([sys.executable, "-m", "batch_screen", *sys.argv[1:]], check=False)
if ended.returncode:  # 0 goes on with the next task; sys.exit(0) would look like a failure here
    sys.exit(ended.returncode)
