"""Runs a recipe on a Ray cluster: Ray places the workers, replaces machines that fail, and restarts all workers.

Needs the extra `ray`.  Ray Train's TensorflowTrainer sets TF_CONFIG for every worker; the recipe does the rest, and
resumes from its newest checkpoint when Ray restarts the workers.  --run.out must be a folder shared by all machines.
"""

import os
import runpy
import sys
import uuid


def supervise_on_ray(words, launch):
    """Runs `tfdl WORDS` as `launch.workers` Ray workers until they are done; returns the exit code.

    Args:
        words: the command, ["run", "classify_images", ...].
        launch: a `Launch`, of which `workers` and `restarts` are used; hanging workers are handled by Ray.

    Raises:
        ModuleNotFoundError: Ray isn't installed; the message names the extra.
    """
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.tensorflow import TensorflowTrainer
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--on ray needs the extra `ray`: pip install 'tfdl[ray]'.") from None
    # Relative paths refer to this folder even if Ray starts the workers in another one.
    environment = {"TFDL_LAUNCH": os.environ.get("TFDL_LAUNCH", uuid.uuid4().hex), "TFDL_FOLDER": os.getcwd()}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("TFDL_", "TF_", "CUDA_"))}
    trainer = TensorflowTrainer(
        work,
        train_loop_config={"words": words, "environment": environment},
        scaling_config=ScalingConfig(num_workers=launch.workers, use_gpu=has_gpus()),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=launch.restarts)),
    )
    try:
        trainer.fit()
    except Exception as error:  # Ray wraps a worker's error in classes that differ between versions
        print(f"error: the Ray workers failed: {str(error).strip().splitlines()[-1]}", file=sys.stderr)
        return 1
    return 0


def has_gpus():
    """Whether the Ray cluster has GPUs."""
    import ray

    ray.init(ignore_reinit_error=True)
    return ray.cluster_resources().get("GPU", 0) > 0


def work(config):
    """Runs in each Ray worker, a process with TF_CONFIG in its environment."""
    os.environ.update(config["environment"])
    os.chdir(config["environment"]["TFDL_FOLDER"])
    sys.argv = ["tfdl", *config["words"]]
    try:
        runpy.run_module("tfdl", run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"`tfdl {' '.join(config['words'])}` ended with {end.code}") from None
