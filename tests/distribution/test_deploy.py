"""deploy/: the Kubernetes manifest fits Kubernetes's schema and the launcher, the Slurm script does what it says."""

import os
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tfdl.commands import launch
from tfdl.distribution import local_cluster, multi_worker

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
VERSION = "1.31"
SBATCH = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "time", "requeue", "signal", "output"}


def manifests():
    return list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()))


@pytest.mark.parametrize("kind", ["Service", "Job"])
def test_manifest_fits_the_schema(kind):
    (manifest,) = [m for m in manifests() if m["kind"] == kind]
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_schema_is_looked_at():
    _, job = manifests()
    job["spec"]["completionsMode"] = job["spec"].pop("completionMode")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSION, strict=True)


def test_manifest_and_launcher_agree(monkeypatch):
    service, job = manifests()
    spec, (container,) = job["spec"], job["spec"]["template"]["spec"]["containers"]
    found = []
    monkeypatch.setattr(launch, "supervise", lambda command, how: found.append((command, how)))
    program, name, *words = container["command"] + container["args"]
    assert (program, name) == ("tfdl", "launch")
    launch.main([word.replace("$(JOB_COMPLETION_INDEX)", "1") for word in words])
    ((command, how),) = found
    local_cluster.check(how)
    assert command[3:5] == ["run", "classify_images"]
    assert len(how.hosts) == spec["completions"] == spec["parallelism"] and how.index == 1
    port = service["spec"]["ports"][0]["port"]
    names = [f"{job['metadata']['name']}-{i}.{spec['template']['spec']['subdomain']}" for i in range(len(how.hosts))]
    assert how.hosts == tuple(f"{name}:{port}" for name in names)
    assert port == multi_worker.PORT
    values = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert set(values) == local_cluster.FINAL - {0, 130}


def test_slurm_script_goes_on_after_a_crash_and_stops_at_a_mistake(tmp_path):
    script = DEPLOY / "slurm.sh"
    options = [line.split()[1].removeprefix("--").split("=")[0] for line in script.read_text().splitlines()
               if line.startswith("#SBATCH")]  # fmt: skip
    assert set(options) == SBATCH
    srun = tmp_path / "srun"  # crashes at first, then says that there is a mistake
    srun.write_text(f'#!/bin/sh\necho "$TFDL_CLUSTER $TFDL_LAUNCH $@" >> {tmp_path}/calls\n'
                    f"[ $(wc -l < {tmp_path}/calls) -lt 3 ] && exit 137\nexit 2\n")  # fmt: skip
    srun.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7", "HOME": str(tmp_path)}
    done = subprocess.run([shutil.which("bash"), script, "classify_images", "--epochs", "2"], env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 2, done.stderr
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 3 and len(set(calls)) == 1
    assert calls[0].startswith(
        "slurm slurm-7 --kill-on-bad-exit=1 --label tfdl run classify_images --epochs 2 --run.out"
    )
    assert "attempt 2 ended with 137" in done.stderr
    nothing = subprocess.run([shutil.which("bash"), script], env=environment, capture_output=True, text=True)
    assert nothing.returncode != 0 and "name a recipe" in nothing.stderr
