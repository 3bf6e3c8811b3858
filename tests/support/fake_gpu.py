"""A GPU reader that plays back readings."""

from collections.abc import Sequence

from mtbert_ray.resources.gpu import GpuReadError, GpuSample


class FakeGpuReader:
    """Plays back samples to return and errors to raise, in order; the last one again and again."""

    def __init__(self, readings: Sequence[GpuSample | GpuReadError]) -> None:
        assert readings, "a fake reader needs a reading to play"
        self._readings = list(readings)
        self.reads = 0
        self.closed = False

    def read(self) -> GpuSample:
        reading = self._readings[min(self.reads, len(self._readings) - 1)]
        self.reads += 1
        if isinstance(reading, GpuReadError):
            raise reading
        return reading

    def close(self) -> None:
        self.closed = True
