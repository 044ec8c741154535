"""Analyse an archive on SLURM: `python slurm.py PATH --output DIR`, and any option of `temwatch analyse`."""

import subprocess
import sys

from dask_jobqueue import SLURMCluster

CORES = 16
JOBS = 20

if __name__ == "__main__":
    with SLURMCluster(
        cores=CORES,
        processes=CORES,  # a process a core: each holds the network once
        memory=f"{2 * CORES}GB",
        walltime="04:00:00",
        local_directory="$TMPDIR",
        job_extra_directives=["--requeue"],
    ) as cluster:
        cluster.adapt(minimum_jobs=1, maximum_jobs=JOBS)
        done = subprocess.run(
            ["temwatch", "analyse", *sys.argv[1:], "--dask", cluster.scheduler_address], check=False
        )
    sys.exit(done.returncode)
