"""Figures that a notebook draws by itself, whatever backend it has chosen."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure as MatplotlibFigure


class Figure(MatplotlibFigure):
    """A matplotlib figure outside pyplot, which keeps no list of open figures; a notebook shows it as PNG."""

    def __init__(self, width: float, height: float, **options: Any) -> None:
        """width, height: inches."""
        super().__init__(figsize=(width, height), layout="constrained", **options)

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=100)
        return data.getvalue()
