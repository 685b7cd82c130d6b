"""Watch: names of metrics, alerts and probes."""
