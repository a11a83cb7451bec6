"""`bench.load`: a study's results, each as a data frame, wherever the study lies."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import InputError, unknown
from bench.records import CALIBRATION, Battle, Difference, ImageScore, LoadRun, Prompt, Score, iterate_rows
from bench.store.documents import read_latency, read_scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bench.report.figures.catalogue import Drawing
    from bench.store.object_store import ObjectFolder
    from bench.store.study_folder import StudyFolder

    Folder = StudyFolder | ObjectFolder

PANEL = 2.4
"""Side of one image in `show`, inches."""


def load(path: str | Path, *, results: str | Path = "results") -> StudyResults:
    """The results of a study.

    Parameters
    ----------
    path : a study folder, or its name below `results`; the folder of a data package (`bench export`), whose
        checksums are verified; or the address of a study in an object store (`s3://bucket/place/study`).
    results : the folder that holds the study folders.

    Returns
    -------
    StudyResults : its data frames are read when they are first asked for, and are empty where the stage has
        not run.

    Raises
    ------
    InputError : there is no study, or a file of it is damaged.
    """
    from bench.store.object_store import open_anywhere

    place = Path(str(path))
    if (place / "documents" / "study.toml").is_file():
        from bench.export.package import unpack

        unpacked = Path(tempfile.mkdtemp(prefix="bench-package-"))
        study = StudyResults(unpack(place, unpacked))
        weakref.finalize(study, shutil.rmtree, unpacked, ignore_errors=True)
        return study
    return StudyResults(open_anywhere(str(path), Path(results)))


def frame(rows: Iterable[Any], kind: type) -> pd.DataFrame:
    """Rows of one dataclass as a data frame, with its columns even where there are no rows."""
    import pandas as pd

    return pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(kind)])


class StudyResults:
    """A study's results; see `bench.load`."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"<bench.StudyResults of {self.folder.where}: {len(self.images):,} images>"

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """One row a prompt: id, text, category, challenge, and what an image-to-image prompt starts from."""
        return frame(self.folder.prompts(), Prompt)

    @cached_property
    def images(self) -> pd.DataFrame:
        """One row an image: contender, prompt_id, replicate, seed, size, seconds, flags, and the prompt's text."""
        import pandas as pd

        from bench.records import Generation

        rows = frame(self.folder.generations().values(), Generation)
        texts = self.prompts[["id", "text", "category"]].rename(columns={"id": "prompt_id"})
        return pd.merge(rows, texts, on="prompt_id", how="left", validate="many_to_one")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row a metric and contender: value, 95% interval, n, protocol."""
        scores = read_scores(self.folder)
        return frame(scores.rows if scores else (), Score)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """One row a metric and pair of contenders: a minus b, paired by prompt, intervals that hold jointly."""
        scores = read_scores(self.folder)
        return frame(scores.differences if scores else (), Difference)

    @cached_property
    def image_scores(self) -> pd.DataFrame:
        """One row a metric and image, of metrics that score single images."""
        return frame(self._rows("image-scores.jsonl", ImageScore), ImageScore)

    @cached_property
    def latency(self) -> pd.DataFrame:
        """One row a contender, stage and batch size: seconds a call (median, 5% and 95%) over n samples.

        The rows of stage `calibration` are the kernel's that ran beside the contender, and are in `calibration`.
        """
        return self._timings(lambda stage: stage != CALIBRATION)

    @cached_property
    def calibration(self) -> pd.DataFrame:
        """As `latency`, of the calibration kernel that ran beside each contender: the machine, not a model."""
        return self._timings(lambda stage: stage == CALIBRATION)

    @cached_property
    def load(self) -> pd.DataFrame:
        """One row a contender and load: cold start, Offline, Server at a rate, clients; from `bench latency --load`."""
        document = read_latency(self.folder)
        return frame(document.load if document else (), LoadRun)

    def _timings(self, wanted: Callable[[str], bool]) -> pd.DataFrame:
        import numpy as np
        import pandas as pd

        document = read_latency(self.folder)
        rows = []
        for timing in document.rows if document else ():
            if not wanted(timing.stage):
                continue
            low, middle, high = np.quantile(timing.seconds, (0.05, 0.5, 0.95))
            rows.append(
                (timing.contender, timing.stage, timing.batch, middle, low, high, len(timing.seconds))
            )
        return pd.DataFrame(rows, columns=["contender", "stage", "batch", "median", "p05", "p95", "n"])

    @cached_property
    def battles(self) -> pd.DataFrame:
        """One row a vote with its sides resolved to contenders, as `arena rate` last read them."""
        return frame(self._rows("battles.jsonl", Battle), Battle)

    @cached_property
    def ratings(self) -> pd.DataFrame:
        """One row a question and contender: rating with 95% interval, ranks, votes."""
        return question_frame(self._ratings, "ratings")

    @cached_property
    def win_rates(self) -> pd.DataFrame:
        """One row a question and pair of contenders."""
        return question_frame(self._ratings, "win_rates")

    @cached_property
    def elo(self) -> pd.DataFrame:
        """One row a question and contender: Elo averaged over orders of the votes."""
        return question_frame(self._ratings, "elo_add")

    @cached_property
    def _ratings(self) -> dict[str, Any]:
        return self.folder.read_json("ratings.json") or {}

    def _rows(self, name: str, kind: type) -> list[Any]:
        from bench.store.study_folder import StudyFolder

        if isinstance(self.folder, StudyFolder):
            return list(iterate_rows(self.folder.path / name, kind))
        return self.folder.read_rows(name, kind)

    def show(self, prompt: str, replicate: int = 0) -> Figure:
        """The images of one prompt, a contender a panel.

        Parameters
        ----------
        prompt : a prompt's id, or its text.
        replicate : which image of the prompt, counted from 0.
        """
        from bench.report.figures.figure import Figure

        prompts = self.prompts
        chosen = prompts[(prompts["id"] == prompt) | (prompts["text"] == prompt)]
        if chosen.empty:
            raise unknown("prompt", prompt, prompts["id"].tolist()[:50])
        prompt_id, text = chosen.iloc[0]["id"], chosen.iloc[0]["text"]
        rows = [
            row
            for key, row in self.folder.generations().items()
            if key[1] == prompt_id and key[2] == replicate
        ]
        if not rows:
            raise InputError(f"no contender has an image of prompt '{prompt_id}', replicate {replicate}, yet")
        figure = Figure(PANEL * len(rows), PANEL + 0.6)
        for axes, row in zip(figure.subplots(1, len(rows), squeeze=False)[0], rows, strict=True):
            axes.imshow(self._image(row))
            axes.set_title(row.contender, fontsize=9, parse_math=False)
            axes.set_axis_off()
        figure.suptitle(text, fontsize=10, wrap=True, parse_math=False)
        return figure

    @property
    def figures(self) -> list[str]:
        """Names of the report's figures that there are data for, as `figure` takes them."""
        return list(self._drawings)

    def figure(self, name: str, *, width: str = "two") -> Figure:
        """A figure of the report, as matplotlib: to be shown, changed, or saved with `savefig`.

        Parameters
        ----------
        name : one of `figures`.
        width : `one` or `two` columns of a paper.

        Raises
        ------
        InputError : no such figure, or the study lies in an object store.
        """
        from bench.report.figures.style import LIGHT, WIDTHS

        if name not in self._drawings:
            raise unknown("figure", name, list(self._drawings))
        if width not in WIDTHS:
            raise InputError(f"width is '{width}': allowed are {', '.join(WIDTHS)}")
        return self._drawings[name].make(width, LIGHT)

    @cached_property
    def _drawings(self) -> dict[str, Drawing]:
        from bench.report.figures.catalogue import all_drawings
        from bench.report.results import read_results
        from bench.store.study_folder import StudyFolder

        if not isinstance(self.folder, StudyFolder):
            raise InputError(f"{self.folder.where}: figures need the study on a disk: `bench copy` brings it")
        return {drawing.name: drawing for drawing in all_drawings(read_results(self.folder))}

    def _image(self, row: Any) -> Any:
        from bench.store.images import read_image
        from bench.store.study_folder import StudyFolder

        if isinstance(self.folder, StudyFolder):
            return read_image(self.folder.image(row.contender, row.prompt_id, row.replicate))
        data = self.folder.read_image(row)
        if data is None:
            raise InputError(f"{self.folder.where}: the image of prompt '{row.prompt_id}' is missing")
        return read_image(data)


def question_frame(document: dict[str, Any], name: str) -> pd.DataFrame:
    """One block of ratings.json with its question as the first column."""
    import pandas as pd

    rows = [
        {"question": question, **row}
        for question, block in document.get("questions", {}).items()
        for row in block.get(name) or ()
    ]
    return pd.DataFrame(rows)
