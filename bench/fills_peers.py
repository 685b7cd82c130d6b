# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""The same market maker written for hftbacktest, as its examples are: compiled, orders looked at through its own iterator."""

from pathlib import Path
from typing import Any

import numpy as np

from bench.fills_data import LOT, TICK
from bench.harness import Pass

MAKER, TAKER = -0.00005, 0.0007
POWER = 2.0
ENTRY, ANSWER = 1_500_000, 900_000  # ns


def strategy(roi: bool) -> Any:
    from hftbacktest import BUY, FILLED, GTX, LIMIT
    from numba import njit

    @njit
    def make_market(hbt, step_ns, half, levels, size, most, lot, tick, found):
        wanted = np.zeros((2, levels), np.bool_)
        n_fills, last_id, n_steps, n_cancels = 0, 0, 0, 0
        going = True
        while going:
            going = hbt.elapse(step_ns) == 0
            orders = hbt.orders(0)
            values = orders.values()
            while values.has_next():
                order = values.get()
                if order.status == FILLED:
                    found[n_fills, 0] = order.exch_timestamp
                    found[n_fills, 1] = order.order_id
                    found[n_fills, 2] = order.side
                    found[n_fills, 3] = order.exec_price_tick
                    found[n_fills, 4] = np.int64(np.round(order.exec_qty / lot))
                    found[n_fills, 5] = order.arr[0].maker
                    n_fills += 1
            hbt.clear_inactive_orders(0)
            if not going:
                break
            n_steps += 1
            depth = hbt.depth(0)
            if np.isnan(depth.best_bid) or np.isnan(depth.best_ask):
                continue
            bid, ask = depth.best_bid_tick, depth.best_ask_tick
            position = np.int64(np.round(hbt.position(0) / lot))
            middle = bid + ask - 2 * (position * half // most)
            first_bid = min((middle - 2 * half) // 2, bid)
            first_ask = max(-((-middle - 2 * half) // 2), ask)
            wanted[0] = position < most
            wanted[1] = position > -most
            values = hbt.orders(0).values()
            while values.has_next():
                order = values.get()
                if order.side == BUY:
                    side, place = 0, first_bid - order.price_tick
                else:
                    side, place = 1, order.price_tick - first_ask
                if 0 <= place < levels and wanted[side, place]:
                    wanted[side, place] = False
                elif order.cancellable:
                    hbt.cancel(0, order.order_id, False)
                    n_cancels += 1
            for place in range(levels):
                if wanted[0, place]:
                    last_id += 1
                    hbt.submit_buy_order(0, last_id, (first_bid - place) * tick, size * lot, GTX, LIMIT, False)
                if wanted[1, place]:
                    last_id += 1
                    hbt.submit_sell_order(0, last_id, (first_ask + place) * tick, size * lot, GTX, LIMIT, False)
        return n_fills, last_id, n_cancels, n_steps

    return make_market


def prepared(folder: Path, name: str, *, roi: bool, half: int, levels: int, size: int, most: int, queue: str = "risk") -> Pass:
    """One pass over the events; returns fills [n, 6] and totals. Half spread in ticks, sizes in lots."""
    from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
    from hftbacktest.data import correct_event_order
    from hftbacktest.types import event_dtype

    raw = np.load(folder / f"{name}-peer.npy").view(event_dtype)
    data = correct_event_order(raw, np.argsort(raw["exch_ts"], kind="stable"), np.argsort(raw["local_ts"], kind="stable"))
    low, high = np.load(folder / f"{name}-window.npy")
    make_market = strategy(roi)
    found = np.zeros((len(raw) // 4 + 1000, 6), np.int64)

    def once() -> dict[str, np.ndarray]:
        asset = BacktestAsset().data(data).linear_asset(1.0).constant_order_latency(ENTRY, ANSWER)
        if queue == "risk":
            asset = asset.risk_adverse_queue_model()
        elif queue == "log":
            asset = asset.log_prob_queue_model()
        else:
            asset = asset.power_prob_queue_model(POWER)
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(MAKER, TAKER).tick_size(TICK).lot_size(LOT)
        asset = asset.last_trades_capacity(0).roi_lb(low * TICK).roi_ub(high * TICK)
        hbt = (ROIVectorMarketDepthBacktest if roi else HashMapMarketDepthBacktest)([asset])
        n_fills, n_orders, n_cancels, n_steps = make_market(hbt, 10_000_000, half, levels, size, most, LOT, TICK, found)
        state = hbt.state_values(0)
        totals = np.array([state.position, state.balance, state.fee])
        hbt.close()
        fills = found[:n_fills]
        fills = fills[np.lexsort((fills[:, 1], fills[:, 0]))]
        return {"fills": fills, "totals": totals, "counts": np.array([n_fills, n_orders, n_cancels, n_steps])}

    return once
