"""What a model must beat: doing nothing, following the last move, and a logistic regression on the last second."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Classes = NDArray[np.int64]  # 0 down, 1 flat, 2 up
FLAT = 1


def no_trade(n: int) -> Classes:
    return np.full(n, FLAT, dtype=np.int64)


def last_sign(price: Floats, ends: NDArray[np.int64], *, window: int) -> Classes:
    """The direction of the last change of `price` (one per row, of one segment per window) in the window that ends at each of
    `ends`; flat where it never changed."""
    move = np.zeros(len(price), dtype=np.int64)
    move[1:] = np.nan_to_num(np.sign(np.diff(price))).astype(np.int64)
    rows = np.arange(len(price))
    last = np.maximum.accumulate(np.where(move != 0, rows, -1))[ends]
    # The move into the window's first row started outside it, perhaps in another segment.
    seen = last > ends - window + 1
    return np.where(seen, move[np.maximum(last, 0)], 0) + 1


def scaler(rows: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column means and standard deviations of [n, F]; 1 for a constant column."""
    mean, std = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    return mean, np.where(std > 1e-12, std, 1.0)


def logistic(train: Floats, classes: Classes, test: Floats, *, limit: float = 8.0, seed: int = 0) -> Classes:
    """Directions of `test` [m, F] by multinomial logistic regression (ridge, C = 1) taught on `train` [n, F].

    Columns are scaled by the training rows' moments and held within `limit` standard deviations, as the network's are.
    Training rows of a single class answer with that class.
    """
    if len(np.unique(classes)) == 1:
        return np.full(len(test), classes[0], dtype=np.int64)
    from sklearn.linear_model import LogisticRegression

    mean, std = scaler(train)

    def scaled(rows: Floats) -> NDArray[np.float64]:
        return np.clip((rows - mean) / std, -limit, limit)

    fitted = LogisticRegression(C=1.0, max_iter=300, random_state=seed).fit(scaled(train), classes)
    return fitted.predict(scaled(test)).astype(np.int64)
