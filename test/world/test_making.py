"""The make_world command: the same bytes again, the files on disk, and what is not a world."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nav_pkg.cli import make_world
from nav_pkg.core import DataError, UsageError
from nav_pkg.world import check_world, load_plan, make, making
from nav_pkg.world.lighting import encode
from nav_pkg.world.making import check_made, compare, ensure, generate, up_to_date
from nav_pkg.world.plan_file import PLANS

ROOT = Path(__file__).resolve().parents[2]
PLAN = load_plan("esatv3")


@pytest.fixture(scope="module")
def once(files):
    """The files are not worked out again; that they would be the same is a test of its own."""

    def generate(plan):
        return {path.replace("esatv3", plan.name): data for path, data in files.items()}

    return generate


@pytest.fixture
def remembered(monkeypatch, once):
    monkeypatch.setattr(making, "generate", once)


@pytest.fixture(scope="module")
def made(tmp_path_factory, once):
    output = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "generate", once)
        assert make(PLAN, output)
    drone = output / "models" / "drone"
    drone.mkdir()
    (drone / "model.sdf").write_text("<sdf/>")
    return output


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(files):
    code = (
        "import hashlib, json; from nav_pkg.world import load_plan\n"
        "from nav_pkg.world.making import generate\n"
        "made = generate(load_plan('esatv3'))\n"
        "print(json.dumps({path: hashlib.sha256(data).hexdigest() for path, data in made.items()}))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    assert json.loads(out) == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


def test_made_files_are_what_generate_gives(files, made, remembered):
    assert compare(PLAN, made) == len(files)
    assert not make(PLAN, made), "the second run must find all up to date"
    assert not [path for path in (made / "models").iterdir() if path.name.startswith(".")]


def test_the_checkout_has_what_the_plan_gives(remembered):
    if not up_to_date(PLAN, ROOT):
        pytest.skip("no world or an older one in this checkout: run scripts/make_world.py esatv3")
    compare(PLAN, ROOT)


def test_a_changed_or_missing_file_is_noticed_and_mended(made, remembered):
    path = made / "models" / "esatv3" / "model.sdf"
    path.write_text("<sdf/>")
    with pytest.raises(DataError, match=r"model\.sdf is not what"):
        compare(PLAN, made)
    assert make(PLAN, made)
    (made / "worlds" / "esatv3.world").unlink()
    with pytest.raises(DataError, match=r"esatv3\.world is missing"):
        compare(PLAN, made)
    assert make(PLAN, made)
    compare(PLAN, made)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A few files instead of a world's, in a cache of the test's own."""
    monkeypatch.setattr(
        making,
        "generate",
        lambda plan: {
            f"worlds/{plan.name}.world": b"<sdf/>",
            f"models/{plan.name}/model.sdf": plan.digest.encode(),
        },
    )
    monkeypatch.setenv("NAV_PKG_WORLDS", str(tmp_path / "cache"))
    return tmp_path


def test_a_world_on_disk_is_compared_with_its_plan(quick):
    make(PLAN, quick)
    check_made(PLAN, quick)
    manifest = quick / "models" / "esatv3" / making.MANIFEST
    good = manifest.read_text()
    for old, new, problem in (
        (f'"plan": "{PLAN.digest}"', '"plan": "0"', "was made from another floor plan"),
        ('"generator": "', '"generator": "0', "was made from another version of nav_pkg"),
        ("{", "", "damaged"),
        (good, "[]", "holds a list, not a JSON object"),
    ):
        assert old in good
        manifest.write_text(good.replace(old, new, 1))
        with pytest.raises(DataError, match=f"{problem}.*; run make_world.py esatv3$"):
            check_made(PLAN, quick)
    manifest.write_text(good.replace(f'"numpy": "{np.__version__}"', '"numpy": "0"'))
    check_made(PLAN, quick)  # another host's may round a pixel differently
    assert not up_to_date(PLAN, quick)
    manifest.write_text(good)
    for name in ("models/esatv3/model.sdf", "worlds/esatv3.world"):
        whole = (quick / name).read_bytes()
        (quick / name).write_bytes(b"<sdf>another</sdf>")
        with pytest.raises(DataError, match="has been changed"):
            check_made(PLAN, quick)
        (quick / name).unlink()
        with pytest.raises(DataError, match="no such file"):
            check_made(PLAN, quick)
        (quick / name).write_bytes(whole)
    manifest.unlink()
    with pytest.raises(DataError, match="no such file"):
        check_made(PLAN, quick)


def test_worlds_made_on_demand_are_known_by_what_they_are_made_from(quick):
    first, other = load_plan("esatv3+7"), load_plan("esatv3+8")
    with ThreadPoolExecutor(4) as threads:  # sessions that start together
        folders = set(threads.map(ensure, [first, first, first, other]))
    assert folders == {making.made_folder(first), making.made_folder(other)}
    assert all(up_to_date(plan, making.made_folder(plan)) for plan in (first, other))
    assert not [path for path in (quick / "cache").iterdir() if path.name.startswith(".")]
    assert (quick / "cache").stat().st_mode & 0o777 == 0o700
    damaged = making.made_folder(first) / "models" / first.name / "model.sdf"
    damaged.write_text("<sdf/>")
    assert ensure(first) == making.made_folder(first) and damaged.read_text() == first.digest


def test_a_cache_that_another_made_is_refused(quick):
    (quick / "other").mkdir()
    (quick / "cache").symlink_to(quick / "other")
    with pytest.raises(
        DataError, match="is not a folder of this user's own; remove it, or set NAV_PKG_WORLDS"
    ):
        ensure(load_plan("esatv3+7"))


def test_a_copied_plan_does_not_replace_the_world_whose_name_it_has(quick, monkeypatch, capsys):
    """Plans copied and changed overwrote models/esatv3, and sessions then flew the wrong corridor."""
    make(PLAN, quick)
    before = {path: path.read_bytes() for path in quick.rglob("*") if path.is_file()}
    copy = quick / "longer.json"
    raw = json.loads((PLANS / "esatv3.json").read_text())
    copy.write_text(json.dumps({**raw, "title": "Longer"}))
    with pytest.raises(DataError, match=r"longer\.json: 'name' is 'esatv3', the file's is 'longer'"):
        make_world.main([str(copy), "--output", str(quick)])
    assert {path: path.read_bytes() for path in before} == before
    copy.write_text(json.dumps({**raw, "name": "longer"}))
    assert make_world.main(["--world", str(copy)]) == 0
    folder = making.made_folder(load_plan(copy))
    assert f"longer: written to {folder}" in capsys.readouterr().out and folder.parent == quick / "cache"
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_another_texture_seed_gives_other_pictures_and_the_same_walls(files):
    plan = load_plan("esatv3+2")
    assert (plan.name, plan.texture_seed) == ("esatv3+2", 2) and plan.walls == PLAN.walls
    assert len({load_plan(name).digest for name in ("esatv3", "esatv3+2", "esatv3+3")}) == 3
    other = {path.replace("esatv3+2", "esatv3"): data for path, data in generate(plan).items()}
    assert other.keys() == files.keys()
    assert other["models/esatv3/meshes/collision.dae"] == files["models/esatv3/meshes/collision.dae"]
    assert not any(other[path] == files[path] for path in files if path.endswith(".jpg"))


def test_pictures(files):
    total = 0
    for path, data in files.items():
        if path.endswith(".jpg"):
            image = Image.open(io.BytesIO(data))
            total += len(data)
            for side in image.size:
                assert side & (side - 1) == 0, f"{path} is {image.size}, not powers of two"
            assert np.asarray(image).std() > 5, f"{path} is blank"
    assert total < 3_000_000


def test_posters_differ(files):
    data = files["models/esatv3/materials/textures/esatv3_posters.jpg"]
    image = np.asarray(Image.open(io.BytesIO(data)), dtype=float)
    cells = [image[r * 256 : r * 256 + 256, c * 256 : c * 256 + 256] for r in range(4) for c in range(8)]
    for index, cell in enumerate(cells):
        for other in cells[:index]:
            assert np.abs(cell - other).mean() > 8


def test_light_survives_as_unit_vectors():
    light = np.stack(np.meshgrid(np.linspace(0, 1, 9), np.linspace(-1, 1, 9)), axis=-1).reshape(-1, 2)
    assert np.linalg.norm(encode(light), axis=1) == pytest.approx(np.ones(len(light)))


def test_check_world(made, monkeypatch):
    monkeypatch.delenv("GAZEBO_MODEL_PATH", raising=False)
    world = made / "worlds" / "esatv3.world"
    assert check_world(world) == world


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<sdf>\n<world>\n</sdf>", "line 3"),
        ("", "line 1"),
        ("<sdf/>", "no <world>"),
        ("<robot/>", "no <world>"),
        ("<sdf><world/></sdf>", "lacks the lock-step plugin"),
        (
            '<sdf><world><include><uri>model://moon</uri></include><plugin filename="libnav_pkg_gazebo.so"/>'
            "</world></sdf>",
            "model://moon",
        ),
    ],
)
def test_what_is_not_a_world(tmp_path, monkeypatch, text, problem):
    monkeypatch.delenv("GAZEBO_MODEL_PATH", raising=False)
    path = tmp_path / "worlds" / "bad.world"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DataError, match=problem) as caught:
        check_world(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_no_such_world_file(tmp_path):
    with pytest.raises(UsageError, match="none.world"):
        check_world(tmp_path / "none.world")


def test_command(tmp_path, capsys, remembered):
    assert make_world.main(["esatv3", "--output", str(tmp_path)]) == 0
    assert "written" in capsys.readouterr().out
    assert make_world.main(["esatv3", "--output", str(tmp_path)]) == 0
    assert "up to date" in capsys.readouterr().out
    assert make_world.main(["esatv3", "--output", str(tmp_path), "--check"]) == 0
    with pytest.raises(DataError, match=r"is missing; run make_world.py esatv3\+5 again"):
        make_world.main(["esatv3+5", "--output", str(tmp_path), "--check"])


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["esatv4"], "esatv3"),
        (["esatv3", "--outptu", "x"], "--output"),
        (["esatv3+-1"], r"world 'esatv3\+-1': behind the \+ stands the seed of its textures"),
        (["esat+5"], "no world is called 'esat'; did you mean 'esatv3'"),
        ([], "give one world"),
        (["esatv3", "--world", "esatv3"], "give one world"),
        (["./longer"], "a plan file is given by its path, which ends in .json"),
    ],
)
def test_wrong_use(argv, problem):
    with pytest.raises(UsageError, match=problem):
        make_world.main(argv)


def test_a_change_of_any_module_that_makes_worlds_makes_them_anew():
    """Those that reading a plan and making its files import, at any depth."""
    folder, modules, left = Path(making.__file__).parent, set(), {"content", "plan_file"}
    while left:
        name = left.pop()
        modules.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nav_pkg.world"):
                inner = node.module.split(".")[2:]
                left |= {*inner, *(item.name for item in node.names if not inner)} - modules
    assert modules == set(making.GENERATOR)


def test_output_that_cannot_be_written(tmp_path, quick):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the world"):
        make_world.main(["esatv3", "--output", str(tmp_path / "file")])
