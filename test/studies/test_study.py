"""Study files: what they say, and what is refused."""

import copy
import re

import pytest
import yaml

from nav_pkg.config.setting import to_argv
from nav_pkg.core import DataError, UsageError
from nav_pkg.studies import study

RAW = {
    "title": "Normalisation",
    "question": "Does it matter?",
    "base": {"network": "tiny_net", "dataset": "easy", "discrete": True, "max_episodes": 5},
    "grid": {
        "input": {"reference": {}, "shifted": {"shifted_input": True}},
        "rate": {"0.1": {"learning_rate": 0.1}, "0.01": {"learning_rate": 0.01}},
    },
    "seeds": [1, 2],
    "scales": {
        "full": None,
        "small": {"base": {"max_episodes": 1}, "only": {"rate": ["0.1"]}, "seeds": [7]},
    },
}


@pytest.fixture
def load(tmp_path):
    def load(raw):
        file = tmp_path / "normalisation.yaml"
        file.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw, sort_keys=False))
        return study.load(str(file))

    return load


def test_cells_are_the_grid(load):
    loaded = load(RAW)
    full = loaded.cells("full")
    assert [(cell.group, cell.seed) for cell in full] == [
        (f"{way}, {rate}", seed)
        for way in ("reference", "shifted")
        for rate in ("0.1", "0.01")
        for seed in (1, 2)
    ]
    assert full[-1].flags == {
        "network": "tiny_net", "dataset": "easy", "discrete": True, "max_episodes": 5, "shifted_input": True,
        "learning_rate": 0.01, "random_seed": 2,
    }  # fmt: skip
    small = loaded.cells("small")
    assert [(cell.group, cell.seed, cell.flags["max_episodes"]) for cell in small] == [
        ("reference, 0.1", 7, 1),
        ("shifted, 0.1", 7, 1),
    ]
    assert len({cell.digest for cell in full + small}) == 10


def test_a_cell_is_named_by_its_configuration_alone(load):
    """Not by labels, nor by the order of keys."""
    changed = copy.deepcopy(RAW)
    changed["title"] = "Another"
    changed["grid"]["input"] = {"plain": {}, "moved": {"shifted_input": True}}
    changed["base"] = dict(reversed(list(RAW["base"].items())))
    before = load(RAW).cells("full")
    assert [cell.digest for cell in load(changed).cells("full")] == [cell.digest for cell in before]
    changed["base"]["max_episodes"] = 6
    assert not {cell.digest for cell in load(changed).cells("full")} & {cell.digest for cell in before}


def test_words():
    flags = {"network": "tiny_net", "discrete": True, "amp": False, "init_state": ["burn_in", 20], "lr": 0.1}
    assert to_argv(flags) == [
        "--network", "tiny_net", "--discrete", "--init_state", "burn_in", "20", "--lr", "0.1",
    ]  # fmt: skip


def changed(**more):
    return {**copy.deepcopy(RAW), **more}


@pytest.mark.parametrize(
    "raw, text",
    [
        (changed(titel="x"), "unknown key 'titel'; did you mean 'title'?"),
        ({key: value for key, value in RAW.items() if key != "question"}, "question: must be text"),
        (changed(grid={"rate": {}}), "grid: rate: has no choice"),
        (changed(grid=[1]), "grid: must be a mapping"),
        (changed(base={"a": {"b": 1}}), "base: a: must be text, a number"),
        (changed(base={"number_of_runs": "two"}), "base: number_of_runs: 'two': must be a whole number of 1"),
        (changed(grid={"a\nb": {"x": {}}}), r"grid: 'a\nb': must be text of one line"),
        (changed(grid={"rate": {"a\tb": {}}}), r"grid: 'a\tb': must be text of one line"),
        (changed(seeds=[]), "seeds: must be a list of different whole numbers"),
        (changed(seeds=[1, 1]), "seeds: must be a list of different whole numbers"),
        (changed(seeds=[True]), "seeds: must be a list of different whole numbers"),
        (changed(command="rm"), "command: 'rm': must be one of main.py, evaluate.py"),
        (changed(checkpoints={"studies": [], "count": 1}), "checkpoints: studies: must be a list"),
        (changed(checkpoints={"studies": ["a"], "count": 0}), "checkpoints: count: must be a whole number"),
        (changed(scales={}), "scales: empty"),
        (changed(scales={"full": {"bas": {}}}), "scales: full: unknown key 'bas'"),
        (
            changed(scales={"full": {"only": {"rat": ["0.1"]}}}),
            "only: 'rat': no such axis; did you mean 'rate'",
        ),
        (changed(scales={"full": {"only": {"rate": ["1"]}}}), "only: rate: must be a list of its labels"),
        ("a: [", "not YAML"),
        ("- 1", "mapping"),
        ("[" * 3000, "not YAML"),
        ("question: 2024-13-45", "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        (changed(command=["main.py"]), "command: ['main.py']: must be one of main.py"),
        (changed(base={"log_tag": "x"}), "base: log_tag: study.py sets it"),
        (changed(grid={"rate": {0.1: {}, "0.1": {}}}), "the key 0.1 is not text"),
    ],
)
def test_what_is_no_study(load, raw, text):
    with pytest.raises(DataError, match=re.escape(text)) as error:
        load(raw)
    assert "\n" not in str(error.value) and "normalisation.yaml" in str(error.value)


def test_two_cells_of_one_configuration(load):
    raw = changed(grid={"input": {"a": {}, "b": {"discrete": True}}}, scales={"full": {}})
    with pytest.raises(UsageError, match="'a' and 'b' are the same configuration"):
        load(raw).cells("full")


def test_no_such_study_or_scale(load):
    with pytest.raises(UsageError, match="study 'nowhere': no such study"):
        study.load("nowhere")
    with pytest.raises(UsageError, match="--scale smoke: study normalisation has full, small"):
        load(RAW).cells("smoke")
