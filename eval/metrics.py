"""How well maps point at boxes.

Boxes are `[x, y, w, h]` with the origin at the top left corner and fractional pixels. Pixel (row, column) is
the unit square with its centre at (column + 0.5, row + 0.5), and belongs to a box if that centre does: its
left and upper edges are inside, its right and lower edges are not. So boxes that share an edge share no
pixel.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

Box = Sequence[float]


def boxes_mask(boxes: Iterable[Box], height: int, width: int) -> np.ndarray:
    """The union of boxes `[x, y, w, h]` (pixels) as bool [height, width]; what lies outside is cut off."""
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    mask = np.zeros((height, width), bool)
    for x, y, w, h in boxes:
        mask |= np.outer((rows >= y) & (rows < y + h), (columns >= x) & (columns < x + w))
    return mask


def _flat(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    maps, masks = np.asarray(maps), np.asarray(masks)
    if maps.ndim != 3 or masks.ndim != 3 or maps.shape[1:] != masks.shape[1:]:
        raise ValueError(f"expected maps [n, H, W] and masks [m, H, W], got {maps.shape} and {masks.shape}")
    if not np.isfinite(maps).all() or (maps < 0).any():
        raise ValueError("a map must be finite and nowhere negative")
    return maps.reshape(len(maps), -1), masks.reshape(len(masks), -1).astype(np.float32)


def pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Pointing game (Zhang et al. 2018, section 4.1) without tolerance: does the maximum lie in the mask?

    `maps` float [n, H, W], nowhere negative; `masks` bool [m, H, W]. Returns float [n, m], every map on every
    mask: 1 or 0, and where several pixels share the maximum, the share of them inside. A map of zeros points
    nowhere: 0.
    """
    flat, inside = _flat(maps, masks)
    maxima = ((flat == flat.max(axis=1, keepdims=True)) & (flat > 0)).astype(np.float32)
    return (maxima @ inside.T) / np.maximum(maxima.sum(axis=1, keepdims=True), 1)


def energy_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Energy-based pointing game (Wang et al. 2020, Score-CAM, section 4.3): the share of mass in the mask.

    `maps` float [n, H, W], nowhere negative; `masks` bool [m, H, W]. Returns float [n, m] in 0..1, every map
    on every mask. A map of zeros has nothing inside: 0.
    """
    flat, inside = _flat(maps, masks)
    # a map's scale does not matter, and sums of tiny values would underflow
    flat = flat.astype(np.float64) / np.maximum(flat.max(axis=1, keepdims=True), np.finfo(float).tiny)
    total = flat.sum(axis=1, keepdims=True)
    return (flat @ inside.T) / np.where(total > 0, total, 1)


@dataclass(frozen=True)
class Summary:
    """Mean of `n` values, with its standard error over `groups` independent groups; None where undefined."""

    n: int
    groups: int
    mean: float | None
    standard_error: float | None

    def as_json(self) -> dict[str, float | int | None]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{_short(self.mean)} ± {_short(self.standard_error)}" if self.n else "-"


def _short(value: float | None) -> str:
    """Three decimals without a leading zero, as papers print shares."""
    if value is None:
        return "-"
    text = f"{round(value, 3) + 0.0:.3f}"  # + 0.0: what rounds to zero has no sign
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


class Mean:
    """Running mean of values that come in groups (the phrases of one photo), which alone are independent.

    The standard error is the cluster-robust one (Liang and Zeger 1986, for a mean): with S_g the sum of the
    deviations from the mean in group g of G, `sqrt(G / (G - 1) * sum(S_g ** 2)) / n`. With one value in each
    group it is the familiar `standard deviation / sqrt(n)`. Memory grows with the groups, not with the
    values.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sums: dict[object, tuple[float, int]] = {}

    def update(self, values: float | Iterable[float], group: object) -> None:
        """Add one value or several of one group; a group may come again."""
        values = np.atleast_1d(np.asarray(values, np.float64))
        total, n = self._sums.get(group, (0.0, 0))
        if values.size:
            self._sums[group] = (total + float(values.sum()), n + values.size)

    def summary(self) -> Summary:
        groups = len(self._sums)
        if groups == 0:
            return Summary(0, 0, None, None)
        sums, sizes = np.array(list(self._sums.values())).T
        n = int(sizes.sum())
        mean = sums.sum() / n
        if groups == 1:
            return Summary(n, 1, float(mean), None)
        spread = np.square(sums - sizes * mean).sum()
        return Summary(n, groups, float(mean), float(np.sqrt(groups / (groups - 1) * spread) / n))
