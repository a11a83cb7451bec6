"""The job script: shell that parses, and runs against stand-ins for SLURM's own commands."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from bench.sweep.slurm import Job, chain, script, single


def test_the_script_starts_ray_on_every_node_and_ends_with_the_study_s_code(tmp_path):
    """srun, scontrol and Python are stand-ins that write down how they were called."""
    job = tmp_path / "job.sh"
    text = script(
        "my study.toml", Path("/shared/results"), Job(nodes=3, gpus=4, cpus=32, partition="gpu"), "exact"
    )
    (tmp_path / "bin").mkdir()
    log = tmp_path / "log"
    import shlex
    import sys

    python, ray = shlex.quote(sys.executable), shlex.quote(str(Path(sys.executable).with_name("ray")))
    for name, body in {
        "srun": "true",
        "scontrol": "printf 'n1\\nn2\\nn3\\n'",
        "python": "exit 7",
        "ray": "true",
        "hostname": "true",
    }.items():
        path = tmp_path / "bin" / name
        path.write_text(f'#!/bin/bash\necho {name} "$@" >> {log}\n{body}\n')
        path.chmod(0o755)
    job.write_text(text.replace(f"\n{python} ", "\npython ").replace(f" {ray} ", " ray "))
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
    }
    done = subprocess.run(["bash", job], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr
    calls = log.read_text()
    assert "--nodes=2 --ntasks=2" in calls
    assert calls.count("--num-gpus=4 --num-cpus=32") == 2
    assert "python -m bench generate my study.toml --results /shared/results --engine ray" in calls
    assert "--gpus 12 --optimize exact" in calls
    assert "#SBATCH --partition=gpu\n" in text
    assert "--account" not in text


def test_one_node_s_script_parses_and_writes_to_a_bucket():
    text = script("turbo-preference", "s3:/b/x", Job())
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert "--results s3://b/x" in text
    assert "--gpus 8" in text


def test_all_stages_are_submitted_those_after_the_images_when_they_are_there(tmp_path):
    """sbatch is a stand-in that keeps each job and gives it a number."""
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(
        f"#!/bin/bash\nn=$(( $(ls {tmp_path} | grep -c job) + 1 ))\ncat > {tmp_path}/job$n\n"
        f'echo "$@" >> {tmp_path}/calls\necho "10$n;cluster"\n'
    )
    sbatch.chmod(0o755)
    job = Job(nodes=2, gpus=4, modules=("cuda/12", "python"), hf_home="/shared/hub")
    text = chain("turbo-preference", Path("/shared/results"), job, "exact")
    environment = {**os.environ, "PATH": f"{sbatch.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash"], input=text, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["generate is job 101", "latency is job 102", "score is job 103"]
    assert (tmp_path / "calls").read_text().splitlines() == [
        "--parsable",
        "--parsable --dependency=afterok:101",
        "--parsable --dependency=afterok:101,afterany:102",
    ]
    jobs = [(tmp_path / f"job{n}").read_text() for n in (1, 2, 3)]
    for text, stage in zip(jobs, ("generate", "latency", "score"), strict=True):
        assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
        assert f"-m bench {stage} turbo-preference --results /shared/results" in text
        assert "module load cuda/12\nmodule load python\nexport HF_HOME=/shared/hub\n" in text
    assert jobs[1] == single("latency", "turbo-preference", Path("/shared/results"), job, "exact")
    assert "--exclusive" in jobs[1]
    assert "--optimize exact" in jobs[1]
    assert "--optimize" not in jobs[2]
    assert "#SBATCH --gpus-per-node=1\n" in jobs[1]
    assert "#SBATCH --gpus-per-node=4\n" in jobs[2]
    assert jobs[2].rstrip().endswith("--device cuda --gpus all")
    assert "#SBATCH --signal=B:INT@120\n" in jobs[2]


def test_a_job_in_a_container_uses_the_container_s_own_commands():
    job = Job(nodes=2, gpus=0, cpus=8, container="apptainer exec --bind /data bench.sif")
    text = script("turbo-preference", Path("/shared/results"), job)
    assert "\napptainer exec --bind /data bench.sif python -m bench generate turbo-preference" in text
    assert text.count("apptainer exec --bind /data bench.sif ray start") == 2
    scored = single("score", "turbo-preference", Path("/shared/results"), job)
    assert "exec apptainer exec --bind /data bench.sif python -m bench score" in scored
    assert scored.rstrip().endswith("--device cpu --processes 4")
    for each in (text, scored):
        assert subprocess.run(["bash", "-n"], input=each, text=True).returncode == 0
