"""`bench.rate`: votes as a data frame or a file → ratings with intervals; what `arena rate` prints."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.library.results import question_frame
from bench.ratings.document import RatingsDocument, to_dict
from bench.ratings.options import Options
from bench.ratings.rate import rate as rate_table
from bench.ratings.votes_file import read_votes, votes_of_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def rate(
    votes: pd.DataFrame | str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    anchor: str | None = None,
    bootstrap: int = 1000,
    shuffles: int = 1000,
    seed: int = 0,
) -> Ratings:
    """Ratings, win rates and Elo of votes, with 95% intervals clustered by rater and prompt where those are known.

    Parameters
    ----------
    votes : a data frame with the columns model_a, model_b, winner and, where known, rater, prompt, question, …;
        or a votes file in any layout of docs/votes-files.md.
    columns : field → column, for columns of other names; '' leaves a field's column unused.
    anchor : the contender whose rating is 1000; None: the mean of all is 1000.
    bootstrap : replicates of the cluster bootstrap; 0: none.
    shuffles : orders that Elo is averaged over; 0: no Elo.
    seed : of both.

    Raises
    ------
    InputError : a wrong row, by its number; fewer than two contenders.
    """
    if isinstance(votes, str | Path):
        name, table = Path(votes).name.split(".")[0], read_votes(Path(votes), columns)
    else:
        name, table = "votes", votes_of_frame(votes, columns)
    options = Options(anchor=anchor, bootstrap=bootstrap, shuffles=shuffles, seed=seed)
    return Ratings(rate_table(table, study=name, options=options), table.notes)


class Ratings:
    """Ratings of one table of votes; see `bench.rate`."""

    def __init__(self, document: RatingsDocument, notes: tuple[str, ...] = ()) -> None:
        self.document = document
        self.notes = notes
        """What was assumed about the votes, and which columns were not used."""
        self.json: dict[str, Any] = to_dict(document)
        """As `arena rate --json` prints it, and as ratings.json holds it."""

    @property
    def ratings(self) -> pd.DataFrame:
        """One row a question and contender: rating with 95% interval, ranks, votes."""
        return question_frame(self.json, "ratings")

    @property
    def win_rates(self) -> pd.DataFrame:
        """One row a question and pair of contenders."""
        return question_frame(self.json, "win_rates")

    @property
    def differences(self) -> pd.DataFrame:
        """One row a question and pair of contenders: difference of ratings with a joint 95% interval."""
        return question_frame(self.json, "differences")

    @property
    def elo(self) -> pd.DataFrame:
        """One row a question and contender: Elo averaged over orders of the votes."""
        return question_frame(self.json, "elo_add")

    def plot(self, question: str | None = None) -> Figure:
        """Ratings with their intervals, best on top. question: None: the first."""
        from bench.report.figures.figure import Figure

        table = self.ratings.dropna(subset=["rating"])
        question = question or str(table["question"].iloc[0])
        table = table[table["question"] == question].sort_values("rating")
        figure = Figure(6, 0.8 + 0.35 * len(table))
        axes = figure.subplots()
        half = [table["rating"] - table["low"], table["high"] - table["rating"]]
        axes.errorbar(table["rating"], range(len(table)), xerr=half, fmt="o", color="black", capsize=3)
        axes.set_yticks(range(len(table)), table["contender"], parse_math=False)
        axes.set_ylim(-0.6, len(table) - 0.4)
        axes.set_xlabel("rating, 95% interval" + (", SIMULATED VOTES" if self.document.simulated else ""))
        axes.set_title(f"{question}, {self.document.n_votes:,} votes", fontsize=10, parse_math=False)
        return figure

    def __repr__(self) -> str:
        return f"<bench.Ratings of {self.document.n_votes:,} votes>\n{self._table().to_string(index=False)}"

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in (*self._warnings(), *self.notes))
        return f"{self._table().to_html(index=False, float_format='{:.0f}'.format)}{notes}"

    def _table(self) -> pd.DataFrame:
        return self.ratings[["question", "contender", "rating", "low", "high", "n"]].round(0)

    def _warnings(self) -> list[str]:
        return (
            ["Simulated votes: these ratings say nothing about the models."]
            if self.document.simulated
            else []
        )
