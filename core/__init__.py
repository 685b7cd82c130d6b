"""Words: what the market is called, where data is kept, every knob."""
