"""Job scripts for a SLURM cluster: `generate` on Ray over the whole allocation, `latency` and `score` on one GPU."""

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
    modules: tuple[str, ...] = ()
    """Loaded before anything runs (`module load`)."""
    hf_home: str = ""
    """Where the hub's cache lies, for all machines; empty: as the environment says."""
    container: str = ""
    """The words before each command that runs it inside a container (`apptainer exec --nv bench.sif`); the container's
    own `python` and `ray` are used then."""

    def command(self, name: str) -> str:
        """`python` or `ray` as a shell word: the one beside this interpreter, or the container's."""
        if self.container:
            return f"{self.container} {name}"
        path = sys.executable if name == "python" else Path(sys.executable).with_name(name)
        return shlex.quote(str(path))


STAGES = ("generate", "latency", "score")
AFTER = {
    "generate": "",
    "latency": " --dependency=afterok:$generate",
    "score": " --dependency=afterok:$generate,afterany:$latency",
}
"""One stage at a time holds the study's folder: scores follow the timings, however these ended."""


def chain(study: str, results: Path | str, job: Job, optimize: str = "none") -> str:
    """A script that submits a job for each stage, those after `generate` when it has ended well."""
    lines = [
        "#!/bin/bash",
        "# Submits the stages of a study; run it with bash, again after any end.",
        "set -euo pipefail",
    ]
    for stage in STAGES:
        text = (
            script(study, results, job, optimize)
            if stage == "generate"
            else single(stage, study, results, job, optimize)
        )
        after = AFTER[stage]
        lines += [
            f"{stage}=$(sbatch --parsable{after} <<'END_OF_{stage.upper()}'",
            text.rstrip(),
            f"END_OF_{stage.upper()}",
            ")",
        ]
        lines += [
            f"{stage}=${{{stage}%%;*}}    # a cluster's name may follow",
            f'echo "{stage} is job ${stage}"',
        ]
    return "\n".join(lines) + "\n"


def single(stage: str, study: str, results: Path | str, job: Job, optimize: str = "none") -> str:
    """A job for `latency` or `score` on one machine: latency on one GPU with nothing else on the machine, score on all
    GPUs that are asked for, or a process for each two CPUs.

    Parameters
    ----------
    stage
        `latency` or `score`.
    study, results
        What, and where its folder lies.
    job, optimize
        As of `script`; of the machines one is taken.
    """
    name = _name(study, stage)
    level = f" --optimize {optimize}" if stage == "latency" else ""
    if stage == "score":
        level = " --gpus all" if job.gpus else f" --processes {max(1, job.cpus // 2)}"
    gpus = min(job.gpus, 1) if stage == "latency" else job.gpus
    options = [
        f"--job-name={name}",
        "--nodes=1",
        *(["--exclusive"] if stage == "latency" else []),
        *([f"--gpus-per-node={gpus}"] if gpus else []),
        f"--cpus-per-task={job.cpus}",
        f"--time={job.time}",
        *(["--signal=B:INT@120"] if stage == "score" else []),
        f"--output={name}-%j.log",
        *([f"--partition={job.partition}"] if job.partition else []),
        *([f"--account={job.account}"] if job.account else []),
    ]
    return SINGLE.format(
        options="\n".join(f"#SBATCH {option}" for option in options), here=shlex.quote(str(Path.cwd())),
        setup=_setup(job), python=job.command("python"), stage=stage, study=shlex.quote(study),
        results=shlex.quote(_place(results)), level=level, device="cuda" if job.gpus else "cpu",
    )  # fmt: skip


def _name(study: str, stage: str) -> str:
    stem = re.sub(r"[^\w.-]+", "-", Path(study).stem)
    return f"bench-{stem}" if stage == "generate" else f"bench-{stem}-{stage}"


def _place(results: Path | str) -> str:
    return url_of(results) if is_url(results) else str(results)


def _setup(job: Job) -> str:
    """Lines before the work: modules, the hub's cache."""
    lines = [f"module load {shlex.quote(module)}" for module in job.modules]
    lines += [f"export HF_HOME={shlex.quote(job.hf_home)}"] if job.hf_home else []
    return "".join(line + "\n" for line in lines)


SINGLE = """\
#!/bin/bash
# A job for `sbatch`. Sent again it goes on after what it has: a pass of timings, the features of an image.
{options}
set -euo pipefail
cd {here}
{setup}exec {python} -m bench {stage} {study} --results {results} --device {device}{level}
"""


def script(study: str, results: Path | str, job: Job, optimize: str = "none") -> str:
    """What `sbatch` takes. Ends with the exit code of `bench generate`; send it again to go on."""
    place, name = _place(results), _name(study, "generate")
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
        here=shlex.quote(str(Path.cwd())), log=name, cpus=job.cpus, setup=_setup(job),
        ask=f" --gpus-per-node={job.gpus}" if job.gpus else "",
        ray=job.command("ray"), python=job.command("python"),
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
{setup}
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
