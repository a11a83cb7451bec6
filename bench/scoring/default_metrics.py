"""The metrics of a study whose file names none: those whose networks are on this machine."""

from __future__ import annotations

from dataclasses import replace

from bench.errors import InputError
from bench.metrics.registry import METRICS
from bench.metrics.weights import locate
from bench.scoring.requirements import extractor_of
from bench.study.study import Study

TEXT = ("clip_score", "image_reward")
EDIT = ("clip_direction", "lpips")
MINIATURE = ("scene_accuracy",)
MINIATURE_EDIT = ("edit_accuracy", "kept_accuracy")
"""Of images of the miniature world, which the instruments of that world read."""


def with_metrics(study: Study) -> tuple[Study, str]:
    """The study with the metrics that it will be scored by.

    Returns
    -------
    tuple[Study, str]
        A study that has a `[metrics]` table as it is, and nothing to say of it; else one with the defaults, and a line
        that names them and says how to choose others.
    """
    if "metrics" in study.file.model_fields_set:
        return study, ""
    small = study.file.prompts.set == "miniature"
    wanted = (MINIATURE_EDIT if small else EDIT) if study.edits else MINIATURE if small else TEXT
    names = [name for name in wanted if _is_here(name, study)]
    if not names:
        return study, (
            f"the study has no [metrics], and the networks of {' and '.join(wanted)} are not on this machine: the "
            f'images are not scored; add [metrics] with names = ["{wanted[0]}"] and run `bench fetch`'
        )
    metrics = study.file.metrics.model_copy(update={"names": tuple(names)})
    chosen = replace(study, file=study.file.model_copy(update={"metrics": metrics}))
    return chosen, (
        f"the study has no [metrics]: scored by {' and '.join(names)}; for others add [metrics] with names = […], "
        f"`bench metrics` lists them"
    )


def _is_here(name: str, study: Study) -> bool:
    try:
        locate(extractor_of(METRICS[name], study))
    except InputError:
        return False
    return True
