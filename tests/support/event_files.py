"""Reads TensorBoard's event files back: records of length, checksum, protobuf, checksum."""

import struct
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData


def events_in(folder: Path) -> list[Event]:
    """Return the events of a folder's files, in the order of their names."""
    events = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


def scalars_in(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return tag -> (step, value), in the order in which they were written."""
    scalars: dict[str, list[tuple[int, float]]] = {}
    for event in events_in(folder):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


def hparams_in(folder: Path) -> tuple[dict[str, object], set[str]]:
    """Return the hyperparameters of a run, and the tags of the results that the HPARAMS tab shows."""
    hyperparameters: dict[str, object] = {}
    tags: set[str] = set()
    for event in events_in(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name != "hparams":
                continue
            data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
            for name, value_of in data.session_start_info.hparams.items():
                hyperparameters[name] = getattr(value_of, value_of.WhichOneof("kind"))
            tags |= {info.name.tag for info in data.experiment.metric_infos}
    return hyperparameters, tags
