"""What /metrics tells of times."""

from prometheus_client import generate_latest

from monitoring import metrics


def value(name: str) -> float:
    return float(next(line for line in generate_latest().decode().splitlines() if line.startswith(f"{name} ")).rpartition(" ")[2])


def test_every_span_of_the_way_of_a_frame_is_a_histogram():
    text = generate_latest().decode()
    for name in ("feed", "book", "features", "predict", "risk", "send"):
        assert f'scalp_span_seconds_bucket{{le="+Inf",span="{name}"}}' in text
        assert f'scalp_span_seconds_count{{span="{name}"}}' in text
    assert "scalp_frame_to_order_seconds_bucket" in text
    assert "scalp_queue_wait_seconds_bucket" in text


def test_a_time_is_counted_in_each_bucket_that_holds_it():
    buckets = [f'scalp_span_seconds_bucket{{le="{le}",span="record"}}' for le in ("0.0003", "0.0005", "0.001", "+Inf")]
    before = [value(name) for name in buckets]
    metrics.SPANS["record"].observe(0.0005)
    assert [value(name) - was for name, was in zip(buckets, before, strict=True)] == [0, 1, 1, 1]


def test_a_span_that_fails_is_timed_all_the_same():
    before = value('scalp_span_seconds_count{span="record"}')
    try:
        with metrics.span("record"):
            raise OSError
    except OSError:
        pass
    assert value('scalp_span_seconds_count{span="record"}') == before + 1
