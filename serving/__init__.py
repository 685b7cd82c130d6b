"""Effects, live: what answers while the market moves."""
