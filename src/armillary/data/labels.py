"""Class labels as files have them: mapped, checked, counted."""

from __future__ import annotations

import numpy as np

from armillary.data.spec import DataError


def mapped_labels(raw: np.ndarray, table: np.ndarray | None, ignore: int, what: str) -> np.ndarray:
    """Labels as int64, through ``table[label]`` where there is one; ``ignore`` stays what it is.

    Raises: DataError for labels that are no integers or that the table does not have.
    """
    if raw.dtype.kind not in "iub":
        raise DataError(f"{what} holds {raw.dtype}, labels are integers: save them as uint8 or int64.")
    labels = raw.astype(np.int64)
    if table is None:
        return labels
    scored = labels != ignore
    check_labels(labels, len(table), ignore, f"{what} (before data.target_map)")
    return np.where(scored, np.asarray(table, dtype=np.int64)[np.where(scored, labels, 0)], ignore)


def check_labels(labels: np.ndarray, n_classes: int, ignore: int | None, what: str) -> None:
    """Raises: DataError naming the first labels outside 0..n_classes-1 that are not ``ignore``."""
    wrong = (labels < 0) | (labels >= n_classes)
    if ignore is not None:
        wrong &= labels != ignore
    if wrong.any():
        values = np.unique(labels[wrong])[:5].tolist()
        raise DataError(
            f"{what} has the labels {values} ({int(wrong.sum())} times); there are {n_classes} classes, 0 to "
            f"{n_classes - 1}: add class names, or set data.ignore to the label that is not scored."
        )


def numbered_classes(labels: np.ndarray, ignore: int | None) -> tuple[str, ...]:
    """Names "0", "1", … up to the highest label that occurs."""
    scored = labels if ignore is None else labels[labels != ignore]
    if scored.dtype.kind not in "iub":
        raise DataError(f"the target holds {scored.dtype}, labels are integers: save them as uint8 or int64.")
    if scored.size == 0:
        raise DataError("no label is scored (all are data.ignore): nothing to learn.")
    return tuple(str(i) for i in range(int(scored.max()) + 1))
