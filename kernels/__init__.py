"""Numbers: pure functions over arrays and frames; no files, no clocks, no settings."""
