"""The job script for a SLURM cluster: Ray on the allocation, the study on Ray."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.objects import is_url, url_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    nodes: int = 1
    gpus: int = 8
    """A node."""
    cpus: int = 16
    """A node."""
    time: str = "12:00:00"
    partition: str = ""
    account: str = ""


def script(study: str, results: Path | str, job: Job, optimize: str = "none") -> str:
    """What `sbatch` takes. Ends with the exit code of `bench generate`; send it again to go on."""
    python = shlex.quote(sys.executable)
    ray = shlex.quote(str(Path(sys.executable).with_name("ray")))
    chosen = [
        f"#SBATCH --{name}={value}"
        for name, value in (("partition", job.partition), ("account", job.account))
        if value
    ]
    lines = "\n".join(chosen) + "\n" if chosen else ""
    place = url_of(results) if is_url(results) else str(results)
    return TEMPLATE.format(
        study=shlex.quote(study), results=shlex.quote(place), name=Path(study).stem, nodes=job.nodes,
        gpus=job.gpus, cpus=job.cpus, time=job.time, chosen=lines, python=python, ray=ray, optimize=optimize,
        here=shlex.quote(str(Path.cwd())),
    )  # fmt: skip


TEMPLATE = """\
#!/bin/bash
# A job for `sbatch`. Sent again after any end (time limit, lost node, full disk) it goes on where it was.
#SBATCH --job-name=bench-{name}
#SBATCH --nodes={nodes}                  # machines; one Ray node each
#SBATCH --ntasks-per-node=1         # one `ray start` a machine, which sees all its GPUs
#SBATCH --gpus-per-node={gpus}          # one worker a GPU
#SBATCH --cpus-per-task={cpus}         # encode and write the images; two or more a GPU
#SBATCH --time={time}
#SBATCH --signal=B:INT@120          # two minutes before the limit: finish the batch, write the rows, end
#SBATCH --output=bench-{name}-%j.log
{chosen}set -euo pipefail
cd {here}                           # a folder every machine sees, as --results must be (or s3://...)

port=6379
read -r head < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
address=$(srun --nodes=1 --ntasks=1 -w "$head" hostname --ip-address | awk '{{print $1}}')

# The head node first, then the others; --block keeps each alive until the job ends.
srun --nodes=1 --ntasks=1 --gpus-per-node={gpus} -w "$head" \\
    {ray} start --head --node-ip-address="$address" --port=$port \\
    --num-gpus={gpus} --num-cpus={cpus} --disable-usage-stats --block &
for try in $(seq 60); do
    {ray} status --address="$address:$port" >/dev/null 2>&1 && break
    sleep 2
done
if (({nodes} > 1)); then
    srun --exclude="$head" --nodes=$(({nodes} - 1)) --ntasks=$(({nodes} - 1)) --gpus-per-node={gpus} \\
        {ray} start --address="$address:$port" --num-gpus={gpus} --num-cpus={cpus} --disable-usage-stats --block &
fi

# In the background and waited for, so that the signal above reaches it.
{python} -m bench generate {study} --results {results} \\
    --engine ray --address "$address:$port" --optimize {optimize} &
work=$!
trap 'kill -INT $work' INT
code=0; wait $work || code=$?
while kill -0 $work 2>/dev/null; do wait $work && code=0 || code=$?; done
exit $code
"""
