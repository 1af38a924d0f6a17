"""A run's images in tars: what other programs read, what damage and crashes leave, what repair mends."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nav_pkg.cli import dataset as command
from nav_pkg.core import DataError, UsageError
from nav_pkg.data import format as fmt
from nav_pkg.data import image_tar
from nav_pkg.data.gather import GatheredDataset
from nav_pkg.data.image_store import ImageStore
from nav_pkg.data.links import make_datasets
from nav_pkg.data.packs.pack import open_packs
from nav_pkg.data.reader import Dataset, Run
from nav_pkg.data.repair import repair_dataset
from nav_pkg.data.verify import verify_dataset, verify_run

STORAGES = ("tar",)
NAME = "00001_esatv3"


def members(tar):
    """Name, offset and size of the data of each member, as Python's own reader sees them."""
    with tarfile.open(tar) as archive:
        return [(member.name, member.offset_data, member.size) for member in archive]


@given(
    number=st.integers(0, 10**10 - 1),
    size=st.integers(0, 8**11 - 1),
    folder=st.sampled_from(fmt.IMAGE_FOLDERS),
)
def test_a_header_is_that_of_pythons_tarfile(number, size, folder):
    info = tarfile.TarInfo(fmt.image_file(folder, number))
    info.size, info.mtime, info.mode = size, 0, 0o644
    assert image_tar.member_header(info.name, size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_the_tar_has_the_images_and_the_index_their_places(samples, dataset):
    run = Run(dataset / NAME)
    for folder, kind in (("RGB", run.frames.rgb), ("Depth", run.frames.depth)):
        places = members(run.path / f"{folder}.tar")
        assert [name for name, _, _ in places] == list(kind)
        index = np.load(run.path / f"{folder}.index.npy", allow_pickle=False)
        assert index.tolist() == [list(place[1:]) for place in places]
        with tarfile.open(run.path / f"{folder}.tar") as archive:
            for member in archive:
                assert (member.mtime, member.uid, member.mode, member.type) == (0, 0, 0o644, tarfile.REGTYPE)
                assert archive.extractfile(member).read() == run.images.read(member.name)


def test_both_forms_hold_the_same(samples, dataset, tmp_path):
    other = type(samples)("files").dataset(tmp_path / "files" / "esat")
    for run, same in zip(Dataset(dataset).runs, Dataset(other).runs):
        assert run.content_hash() == same.content_hash()
        assert all(run.images.read(name) == (same.path / name).read_bytes() for name in run.frames.rgb)
    assert Dataset(dataset).content_hash() == Dataset(other).content_hash()


def test_a_dataset_takes_runs_of_both_forms(samples, dataset):
    type(samples)("files").run(dataset, 3)
    assert not verify_dataset(Dataset(dataset)).all_problems
    assert [run.images.camera("RGB").storage for run in Dataset(dataset).runs] == ["tar"] * 3 + ["files"]


def test_an_unknown_storage_is_refused(samples, dataset):
    with pytest.raises(UsageError, match="storage 'zip' is none; known: tar, files"):
        samples.writer(dataset, "00003_esatv3", storage="zip")
    assert not (dataset / "00003_esatv3.partial").exists()


def pack(run, entries):
    """Write RGB.tar anew from (name, bytes) or a TarInfo."""
    with tarfile.open(run / "RGB.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in entries:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return run


def images(run):
    store = ImageStore(run)
    return [(name, store.read(name)) for name in store.camera("RGB").names()]


def folder_member(run):
    info = tarfile.TarInfo("RGB")
    info.type = tarfile.DIRTYPE
    pack(run, [(info, b""), *images(run)])


def link_member(run):
    info = tarfile.TarInfo("RGB/0000000003.jpg")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    entries = images(run)
    pack(run, [*entries[:3], (info, b""), *entries[4:]])


def flip(run, at, value=0x55):
    with (run / "RGB.tar").open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes([value]))


def header_of(run, number):
    return members(run / "RGB.tar")[number][1] - 512


def append(run, data):
    with (run / "RGB.tar").open("ab") as stream:
        stream.write(data)


DAMAGES = {
    "cut in a member": (
        lambda r: os.truncate(r / "RGB.tar", header_of(r, 5) + 600),
        ", in RGB/0000000005.jpg; see dataset.py repair",
        5,
    ),
    "cut in a header": (
        lambda r: os.truncate(r / "RGB.tar", header_of(r, 5) + 100),
        "after RGB/0000000004.jpg; see dataset.py repair",
        5,
    ),
    "cut at the end": (
        lambda r: os.truncate(r / "RGB.tar", (r / "RGB.tar").stat().st_size - 1024),
        "RGB.tar: is cut at byte",
        8,
    ),
    "empty": (lambda r: os.truncate(r / "RGB.tar", 0), "RGB.tar: is cut at byte 0, after its beginning", 0),
    "damaged header": (
        lambda r: flip(r, header_of(r, 4) + 130),
        "RGB.tar: is damaged at byte",
        4,
    ),
    "damaged image": (
        lambda r: flip(r, header_of(r, 4) + 800),
        "RGB.tar: RGB/0000000004.jpg: ",
        4,
    ),
    "a member twice": (
        lambda r: pack(r, [*images(r), images(r)[2]]),
        "RGB.tar: has the member RGB/0000000002.jpg twice; see dataset.py repair",
        8,
    ),
    "a foreign member": (
        lambda r: pack(r, [*images(r)[:4], ("../../etc/passwd", b"x"), *images(r)[4:]]),
        "RGB.tar: has a foreign member '../../etc/passwd'; see dataset.py repair",
        8,
    ),
    "a folder": (folder_member, "RGB.tar: has a foreign member 'RGB/'", 8),
    "a link": (link_member, "RGB.tar: has a foreign member 'RGB/0000000003.jpg'", 3),
    "another camera's": (
        lambda r: pack(r, [(name.replace("RGB", "RGB_left"), data) for name, data in images(r)]),
        "RGB.tar: has a foreign member 'RGB_left/0000000000.jpg'",
        0,
    ),
    "surplus": (
        lambda r: pack(r, [*images(r), ("RGB/0000000008.jpg", images(r)[0][1])]),
        "RGB.tar: files that belong to no frame: 0000000008.jpg",
        8,
    ),
    "missing image": (
        lambda r: pack(r, [*images(r)[:6], *images(r)[7:]]),
        "missing: RGB/0000000006.jpg",
        6,
    ),
    "no tar": (lambda r: (r / "RGB.tar").write_bytes(b"text" * 500), "RGB.tar: is damaged at byte 0", 0),
    "lost": (lambda r: (r / "RGB.tar").unlink(), "RGB.tar: cannot read: no such file", 0),
    "behind the end": (lambda r: append(r, b"x" * 2000), "RGB.tar: is cut", 8),
    "both forms": (
        lambda r: subprocess.run(["tar", "xf", r / "RGB.tar"], cwd=r, check=True),
        "files that no commit lists: RGB; see dataset.py repair",
        8,
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_of_a_tar_is_named_and_mended(samples, dataset, damage, capsys):
    plant, message, left = DAMAGES[damage]
    others = {run.name: run.content_hash() for run in Dataset(dataset).runs if run.name != NAME}
    plant(dataset / NAME)
    assert command.main(["verify", str(dataset)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert any(message in line for line in lines), lines
    done = repair_dataset(Dataset(dataset))
    assert "quarantine" in done[-1], done
    assert not verify_dataset(Dataset(dataset)).all_problems
    runs = {run.name: run for run in Dataset(dataset).runs}
    assert len(runs[NAME]) == left if left else NAME not in runs
    assert {name: runs[name].content_hash() for name in others} == others
    assert repair_dataset(Dataset(dataset)) == []


def test_the_images_before_and_behind_a_damage_are_read(dataset):
    wanted = dict(images(dataset / NAME))
    flip(dataset / NAME, header_of(dataset / NAME, 4) + 130)
    store = ImageStore(dataset / NAME)
    for name, data in wanted.items():
        if name != "RGB/0000000004.jpg":
            assert store.read(name) == data
    with pytest.raises(DataError, match=r"RGB\.tar: RGB/0000000004\.jpg: missing; see dataset\.py verify"):
        store.read("RGB/0000000004.jpg")


def permuted(run):
    path = run / "RGB.index.npy"
    index = np.load(path)
    np.save(path, np.concatenate([index[1:], index[:1]]))


INDEXES = {
    "missing": (lambda r: (r / "RGB.index.npy").unlink(), "missing"),
    "empty": (lambda r: (r / "RGB.index.npy").write_bytes(b""), "does not fit its tar"),
    "cut": (lambda r: os.truncate(r / "RGB.index.npy", 200), "does not fit its tar"),
    "another run's": (
        lambda r: shutil.copy(r.with_name("00002_esatv3") / "RGB.index.npy", r / "RGB.index.npy"),
        "does not fit its tar",
    ),
    "another camera's": (
        lambda r: shutil.copy(r / "Depth.index.npy", r / "RGB.index.npy"),
        "does not fit its tar",
    ),
    "permuted": (permuted, "does not fit its tar"),
    "short": (
        lambda r: np.save(r / "RGB.index.npy", np.load(r / "RGB.index.npy")[:5]),
        "does not fit its tar",
    ),
    "huge": (
        lambda r: np.save(r / "RGB.index.npy", np.array([[512, 1 << 60]])),
        "does not fit its tar",
    ),
    "negative": (lambda r: np.save(r / "RGB.index.npy", np.array([[-512, -1]])), "does not fit its tar"),
    "a header of terabytes": (
        lambda r: (r / "RGB.index.npy").write_bytes(image_tar.npy_header("<i8", (1 << 40, 2)) + bytes(16)),
        "does not fit its tar",
    ),
    "random": (lambda r: (r / "RGB.index.npy").write_bytes(os.urandom(256)), "does not fit its tar"),
}


@pytest.mark.parametrize("damage", INDEXES)
def test_an_index_is_rebuilt_in_memory_named_and_written_again(samples, dataset, damage):
    before = samples.tree(dataset)
    plant, message = INDEXES[damage]
    wanted = images(dataset / NAME)
    plant(dataset / NAME)
    store = ImageStore(dataset / NAME)
    for name, data in wanted:
        assert store.read(name) == data
    assert (
        ImageStore(dataset / NAME).camera("RGB").names() == [name for name, _ in wanted] or damage == "short"
    )
    path = dataset / NAME / "RGB.index.npy"
    (problem,) = verify_dataset(Dataset(dataset)).all_problems
    assert problem == f"{path}: {message}; dataset.py repair writes it again"
    assert repair_dataset(Dataset(dataset)) == [f"{path}: written again from the headers of RGB.tar"]
    assert samples.tree(dataset) == before
    assert repair_dataset(Dataset(dataset)) == []


def test_a_tar_that_the_user_made_is_read(dataset):
    """GNU tar's own members of the same files: another order, owner and times, and padded to 10 kB."""
    run = dataset / NAME
    wanted = images(run)
    with tarfile.open(run / "RGB.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in reversed(wanted):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid, info.mode = len(data), 1e9, 1000, 0o600
            archive.addfile(info, io.BytesIO(data))
    assert images(run) == wanted
    assert [line.split(": ")[-1] for line in verify_run(Run(run)).problems] == [
        "does not fit its tar; dataset.py repair writes it again"
    ]
    repair_dataset(Dataset(dataset))
    assert not verify_dataset(Dataset(dataset)).all_problems


def test_a_crash_at_any_byte_loses_the_run_in_flight_alone(samples, dataset):
    """Both tars as a crash leaves them: cut anywhere, without end and index, the rows anywhere too."""
    before = samples.tree(dataset)
    writer = samples.writer(dataset, "00003_esatv3", {"world": "esatv3", "seed": 3})
    for i in range(4):
        writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
    writer._close()
    partial = dataset / "00003_esatv3.partial"
    crashed = Path(shutil.copytree(partial, dataset.with_name("crashed")))
    whole = {name: (crashed / name).read_bytes() for name in ("RGB.tar", "Depth.tar")}
    ends = {name: [-(-(at + size) // 512) * 512 for _, at, size in members(crashed / name)] for name in whole}
    assert not list(crashed.glob("*.index.npy"))
    for name, data in whole.items():
        cuts = {0, 1, len(data), *range(0, len(data), 509)}
        cuts |= {end + more for end in ends[name] for more in (-1, 0, 1, 511, 512, 513)}
        for cut in sorted(cut for cut in cuts if cut <= len(data)):
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(crashed, partial)
            (partial / name).write_bytes(data[:cut])
            repair_dataset(Dataset(dataset))
            after = samples.tree(dataset)
            assert {key: after[key] for key in before} == before, (name, cut)
            # the padding of the last member may be cut
            frames = sum(at + size <= cut for _, at, size in members(crashed / name))
            run = dataset / "00003_esatv3"
            assert run.exists() == bool(frames), (name, cut)
            if frames:
                assert len(Run(run)) == frames and Run(run).outcome == "aborted", (name, cut)
                assert not verify_run(Run(run)).problems, (name, cut)
                for folder in ("RGB", "Depth"):
                    assert len(members(run / f"{folder}.tar")) == frames
                shutil.rmtree(run)
            shutil.rmtree(dataset / "quarantine", ignore_errors=True)


def test_images_are_on_disk_when_their_frame_was_written(samples, dataset):
    """A kill loses no image that was written: none waits in memory for a larger write."""
    writer = samples.writer(dataset, "00003_esatv3")
    for i in range(3):
        writer.add(samples.frame(i), samples.rgb(i), samples.depth(i), samples.scan(i))
    writer._pool.shutdown(wait=True)
    store = ImageStore(dataset / "00003_esatv3.partial")
    assert [len(store.camera(folder).names()) for folder in ("RGB", "Depth")] == [3, 3]
    writer.abort()


def test_a_lost_tar_is_named_by_what_links_whole_runs(dataset, tmp_path):
    (dataset / NAME / "Depth.tar").unlink()
    with pytest.raises(DataError, match=r"Depth\.tar: missing; see dataset\.py verify"):
        make_datasets([GatheredDataset([Dataset(dataset)], tmp_path / "gathered")])
    (dataset / NAME / "Depth.index.npy").unlink()
    with pytest.raises(DataError, match=r"Depth/0000000000\.png: missing; see dataset\.py verify"):
        make_datasets([GatheredDataset([Dataset(dataset)], tmp_path / "gathered")])
    assert not list(tmp_path.glob("*gathered*"))


def test_an_index_that_is_missing_stops_no_command(samples, dataset, tmp_path):
    for path in dataset.glob("*/*.index.npy"):
        path.unlink()
    make_datasets([GatheredDataset([Dataset(dataset)], tmp_path / "gathered")])
    assert Dataset(tmp_path / "gathered").content_hash() == Dataset(dataset).content_hash()
    (first, *_) = open_packs(Dataset(dataset).runs, (16, 24), cache=tmp_path / "cache")
    assert len(first.images) == 8
    assert len(repair_dataset(Dataset(tmp_path / "gathered"))) == 6
    assert not verify_dataset(Dataset(tmp_path / "gathered")).all_problems


def test_packs_belong_to_their_tar(samples, dataset, tmp_path):
    runs, cache = Dataset(dataset).runs, tmp_path / "cache"
    open_packs(runs, (16, 24), cache=cache)
    with samples.as_files(dataset / NAME):
        shutil.copy(dataset / NAME / "RGB/0000000001.jpg", dataset / NAME / "RGB/0000000003.jpg")
    with pytest.raises(DataError, match=r"RGB\.tar: RGB/0000000003\.jpg: changed since its commit"):
        open_packs(Dataset(dataset).runs, (16, 24), cache=cache)
    pack(dataset / NAME, images(dataset / NAME)[:7])
    with pytest.raises(DataError, match=r"RGB\.tar: RGB/0000000007\.jpg: missing"):
        open_packs(Dataset(dataset).runs, (16, 24), cache=cache)


def test_a_reader_of_a_link_follows_nothing(dataset, tmp_path):
    tar = dataset / NAME / "RGB.tar"
    shutil.move(tar, tmp_path / "RGB.tar")
    tar.symlink_to(tmp_path / "RGB.tar")
    with pytest.raises(DataError, match=r"RGB\.tar: cannot read: is a symbolic link"):
        Run(dataset / NAME).rgb(0)
    assert any("symbolic link" in line for line in verify_dataset(Dataset(dataset)).all_problems)
