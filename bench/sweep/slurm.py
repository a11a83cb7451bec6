"""The job script for a SLURM cluster: Ray on the allocation, the study on Ray."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.store.object_store import is_url, url_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    nodes: int = 1
    gpus: int = 8
    """A node; 0 is a worker for each CPU."""
    cpus: int = 16
    """A node."""
    time: str = "12:00:00"
    partition: str = ""
    account: str = ""


def script(study: str, results: Path | str, job: Job, optimize: str = "none") -> str:
    """What `sbatch` takes. Ends with the exit code of `bench generate`; send it again to go on."""
    place = url_of(results) if is_url(results) else str(results)
    name = "bench-" + re.sub(r"[^\w.-]+", "-", Path(study).stem)
    workers = job.nodes * (job.gpus or job.cpus)
    options = [
        (f"--job-name={name}", ""),
        (f"--nodes={job.nodes}", "machines: a Ray node each"),
        ("--exclusive", "whole machines: two Ray nodes on one would fight over ports"),
        ("--ntasks-per-node=1", "one `ray start` a machine, which sees all its GPUs"),
        *([(f"--gpus-per-node={job.gpus}", "a worker each")] if job.gpus else []),
        (
            f"--cpus-per-task={job.cpus}",
            "encode and write the images; two or more a GPU" if job.gpus else "a worker each",
        ),
        (f"--time={job.time}", ""),
        ("--signal=B:INT@120", "two minutes before the limit: finish the batch, write the rows, end"),
        (f"--output={name}-%j.log", ""),
        *([(f"--partition={job.partition}", "")] if job.partition else []),
        *([(f"--account={job.account}", "")] if job.account else []),
    ]
    return TEMPLATE.format(
        options="\n".join(f"#SBATCH {o}".ljust(32) + f"# {why}" if why else f"#SBATCH {o}" for o, why in options),
        here=shlex.quote(str(Path.cwd())), log=name, cpus=job.cpus,
        ask=f" --gpus-per-node={job.gpus}" if job.gpus else "",
        ray=shlex.quote(str(Path(sys.executable).with_name("ray"))), python=shlex.quote(sys.executable),
        start=f"--num-gpus={job.gpus} --num-cpus={job.cpus} --disable-usage-stats --log-color=false --block",
        study=shlex.quote(study), results=shlex.quote(place), optimize=optimize,
        workers=f"--gpus {workers}" if job.gpus else f"--processes {workers} --device cpu",
    )  # fmt: skip


TEMPLATE = """\
#!/bin/bash
# A job for `sbatch`. Sent again after any end (time limit, lost node, full disk) it goes on where it was.
{options}
set -euo pipefail
export SRUN_CPUS_PER_TASK={cpus}    # srun does not take it over from the job by itself
# Every machine must see this folder, and --results below (or let that be s3://...).
cd {here}

# Whoever reaches a Ray cluster can run anything on it: only with this job's secret.
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \\n')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{{print $1}}')
cluster=$address:6379

# The head node first, then the others; --block keeps each alive until the job ends. A log for each.
srun --output={log}-%j-ray-%N.log --nodes=1 --ntasks=1{ask} -w "$head" \\
    {ray} start --head --node-ip-address="$address" --port=6379 --include-dashboard=false \\
    {start} &
for try in $(seq 60); do
    {ray} status --address="$cluster" >/dev/null 2>&1 && break
    sleep 2
done
others=$((SLURM_JOB_NUM_NODES - 1))
if ((others > 0)); then
    srun --output={log}-%j-ray-%N.log --nodes=$others --ntasks=$others{ask} --exclude="$head" \\
        {ray} start --address="$cluster" \\
        {start} &
fi

# A worker for each GPU (or CPU), also of machines that have yet to join. In the background and waited for, so that
# the signal above reaches it.
{python} -m bench generate {study} --results {results} \\
    --engine ray --address "$cluster" {workers} --optimize {optimize} &
work=$!
trap 'kill -INT $work' INT
code=0; wait $work || code=$?
while kill -0 $work 2>/dev/null; do wait $work && code=0 || code=$?; done
exit $code
"""
