import pytest

from mtbert_ray.reporting.wording import axis_label, counted, difference, duration, joined, number, quantity


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("dev_score", 0.7314, "0.731"),
        ("sst", 0.4955, "0.495"),
        ("peak_memory_gib", 2.9, "2.90 GiB"),
        ("peak_memory_gib", 0.0004, "0.0004 GiB"),  # never shown as zero
        ("peak_memory_gib", 0.0, "0.00 GiB"),
        ("gpu_utilization_mean", 53.91, "53.9 %"),
        ("trainable_percent", 0.2644, "0.264 %"),
        ("train_seconds", 7380.4, "7,380 s"),
        ("trainable_parameters", 109_482_240, "109,482,240"),
        ("energy_kj", None, "not measured"),
        ("train_loss", float("nan"), "nan"),
    ],
)
def test_quantities(metric, value, text):
    assert quantity(metric, value) == text


def test_a_gap_is_an_empty_cell():
    assert number("energy_kj", None) == ""


def test_labels_carry_the_unit_once():
    assert axis_label("peak_memory_gib") == "peak memory (GiB)"
    assert axis_label("gpu_seconds") == "GPU time (s)"
    assert axis_label("trainable_percent") == "trainable share (%)"
    assert axis_label("adapter_percent") == "adapter share (%)"
    assert axis_label("dev_score") == "dev score"


def test_differences_speak_of_the_metric_and_not_of_the_loss():
    assert difference("dev_score", "maximize", 0.012) == "0.012 less dev score"
    assert difference("dev_score", "maximize", -0.012) == "0.012 more dev score"
    assert difference("peak_memory_gib", "minimize", 1.9) == "1.90 GiB more peak memory"
    assert difference("trainable_parameters", "minimize", -109_187_328.0) == "109,187,328 fewer trainable parameters"


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (898, "14 min 58 s"), (59.99, "1 min 0 s"), (6780, "1 h 53 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_enumerations():
    assert [joined(list("abc")[:count]) for count in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [counted(1, "trial"), counted(0, "trial")] == ["1 trial", "0 trials"]
