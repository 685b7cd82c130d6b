"""Where the numbers of one symbol stand in the arrays that `kernels.live_market` keeps: columns of int64 [symbol, column]."""

(
    # The book: levels of each side, the last id applied, how it stands, when it was last heard of.
    N_BIDS, N_ASKS, LAST_ID, KNOWN, AWAITS, BOOK_AT, BOOK_BY,
    # The fused top: its id, whether it is known, whether a quote ever came; the top, and the one known before its receipt.
    TOP_ID, TOP_KNOWN, QUOTED,
    BID, BID_SIZE, ASK, ASK_SIZE, TOP_AT,
    WAS_BID, WAS_ASK, WAS_AT,
    OFI, OFI_ABS,
    # The clock: last receipt, the latest time of the venue's own, the first second not closed, the last one that a silence touches.
    RECV, LATEST, OPEN_SECOND, TOUCHED, GAP_END, N_CLOSED, SEGMENT, WAS_AWAY, AWAY_RUN,
    # The bounds that the top is watched for.
    BID_LOW, BID_HIGH, ASK_LOW, ASK_HIGH, WATCHED,
    # Trades: which kind of print counts, the accepted price level, how many in a row were off it, and where; late ones.
    PRINTS, LEVEL, RUN, CANDIDATE, N_LATE,
    # The mark price and what came with it, 10^-8.
    MARK_PRICE, INDEX_PRICE, SETTLE_PRICE, FUNDING_RATE, NEXT_FUNDING, MARK_AT,
    # The close and the effective spread that seconds without a trade carry on: the close, and for how many seconds each is.
    CARRIED, CARRIED_S, SPREAD_S,
    STATES,
) = range(49)  # fmt: skip

NOTHING = -1
BY_DIFFS, BY_WHOLE = 1, 2  # what a book is made of

# One second that is not closed yet: its number, and what was traded in it.
(SECOND_NO, N_TRADES, OPEN, HIGH, LOW, CLOSE, OPEN_TS, OPEN_ID, CLOSE_TS, CLOSE_ID, VOLUME, BUYS, SELLS, NOTIONAL, SLOT) = range(15)
SLOTS = 512  # seconds that may be open at a time: minutes of a venue that sends no time
WEIGHTED, WEIGHT, ABOUT, WEIGHTS = range(4)  # effective spread times size, that size; the notional as a float
REMEMBERED = 512  # trade ids by which one told twice is known

LATENESS, GAP, OFFSET, SKEW, JUMP_PCT, RULES = range(6)  # what a market is told: ns, percent
