"""Effects, batch: read one thing, call a kernel, write one thing."""
