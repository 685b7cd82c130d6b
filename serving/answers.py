"""Answers to orders and cancels: what the venue refused, what never left, and what nobody knows."""

from core.orders import Order, Standing, Status
from serving.exchange import Answer

NOT_SENT = 1  # a code of ours (a venue's are below 0): the request did not leave, so nothing came of it


def refused(order: Order, code: int, reason: str, now: int) -> Answer:
    """The venue (or, with `NOT_SENT`, nobody) has such an order. `now`: ns."""
    standing = Standing(
        order_id=order.order_id, symbol=order.symbol, status=Status.REJECTED, side=order.side, price=order.price, size=order.size,
        reduce_only=order.reduce_only, ts_event=now, ts_recv=now, code=code, reason=reason,
    )  # fmt: skip
    return Answer(known=True, standing=standing, code=code, reason=reason)


def unanswered(reason: str) -> Answer:
    return Answer(known=False, reason=reason)


def joined(answers: list[Answer]) -> Answer:
    """One answer of several: unknown where any is, refused where any was."""
    for answer in answers:
        if not answer.known:
            return answer
    return next((answer for answer in answers if answer.rejected), Answer(known=True))
