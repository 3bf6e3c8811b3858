"""The sentences of mistakes in search spaces and configs, as recorded in `messages.txt`.

Everything else asserts the line, the key and the code of a mistake, so that its words can be improved in one place:
`pytest tests/unit/test_messages.py --update-messages`.
"""

from pathlib import Path

import pytest
from experiment_space import PAPER_LIKE
from mistake_cases import (
    CONFIG,
    CONFIG_MISTAKES,
    EXPERIMENT_MISTAKES,
    ITEM_MISTAKES,
    NOT_YAML,
    OBJECTIVE_MISTAKES,
    POINTS_MISTAKES,
    POINTS_SPACE,
    SPACE_MISTAKES,
    replaced,
)
from space_text import space_text

from mtbert_ray.config.file import load_config, load_sample_config
from mtbert_ray.config.yaml_lines import read_yaml_mapping
from mtbert_ray.errors import ConfigError
from mtbert_ray.study.space import load_search_space

SECONDS = "train_seconds: {direction: minimize, reference: 100}"
TASKS = """\
encoder: tiny
tasks:
  - sst
  - {name: topic, kind: classification, num_classes: 3, source: {train: a.csv, dev: b.csv, columns: {}}}
  - {name: grade, kind: regression, label_range: [0, 5], source: {train: a.csv, dev: b.csv, columns: {}}}
"""
PAIR = space_text("dev_score: {direction: maximize, reference: 0.2}", "encoder: tiny")
FILES = {
    **{f"space {lines}": (load_search_space, replaced(line, *lines), ()) for line, lines, _ in SPACE_MISTAKES},
    **{
        f"objective {text}": (load_search_space, space_text(f"{text}\n{SECONDS}", TASKS), ())
        for text, _ in OBJECTIVE_MISTAKES
    },
    **{
        f"experiment {new}": (load_search_space, PAPER_LIKE.replace(old, new), ())
        for old, new, _ in EXPERIMENT_MISTAKES
    },
    **{
        f"points {entries}": (
            load_search_space,
            f"{POINTS_SPACE}points_to_evaluate:\n" + "".join(f"  - {entry}\n" for entry in entries),
            (),
        )
        for entries, _ in POINTS_MISTAKES
    },
    **{f"item {old} -> {new}": (load_config, CONFIG.replace(old, new), ()) for old, new, _ in ITEM_MISTAKES},
    **{f"config {content}": (load_config, content, ()) for content, _ in CONFIG_MISTAKES},
    **{f"yaml {text!r}": (read_yaml_mapping, text, ()) for text, _ in NOT_YAML},
    "together": (
        load_search_space,
        PAIR.replace("trials: 4", "  finetune: {choice: [full, heads_only]}\n  adapter.kind: {choice: [none, lora]}"),
        (),
    ),
    "never right": (load_search_space, PAIR.replace("tiny", "tiny\n  data.source: course"), ()),
    "options of a space": (
        load_search_space,
        PAIR,
        ("adapter.rnk=4", "=3", "epochs=[1", "epochs=0", "trials=", "dropout=&a [*a]", "finetune=heads"),
    ),
    "options of a trial": (load_config, "epoch: 3", ("adapter.kind=lroa", "adaptor.rank=3", "epochs=x", "seed")),
    "topics": (load_sample_config, "method: embedings\ntopics: {A: 0.5, B: half}", ("temprature=1",)),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=str(number)) for number, name in enumerate(FILES)])
def test_the_sentences_of_mistakes(tmp_path, monkeypatch, message_snapshot, name):
    read, text, overrides = FILES[name]
    monkeypatch.chdir(tmp_path)
    Path("F").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        if read is read_yaml_mapping:
            read(Path("F"))[1].raise_if_any()
        else:
            read(Path("F"), overrides=overrides)
    message_snapshot(" ".join(name.split())[:150], str(caught.value))
