"""What set-up says and refuses. Nothing is installed: each test has a home folder of its own."""

import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("flock"), reason="needs util-linux")


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/bash\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def site(tmp_path):
    """A fresh home folder, a checkout with the set-up room only, and Debian 12 by name."""
    checkout = tmp_path / "checkout"
    shutil.copytree(str(REPO / "setup"), str(checkout / "setup"), symlinks=True)
    shutil.copy(str(REPO / "env.sh"), str(checkout / "env.sh"))
    os_release = tmp_path / "os-release"
    os_release.write_text('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\nVERSION_ID="12"\n')
    (tmp_path / "home").mkdir()

    class Site:
        """Runs the checkout's scripts."""

        root = checkout
        home = tmp_path / "home"
        prefix = tmp_path / "home/.local/share/nav_pkg/gazebo-11"
        bin = tmp_path / "bin"
        release = os_release
        env = {
            "HOME": str(tmp_path / "home"),
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin:/usr/sbin:/sbin",
            "NAV_PKG_OS_RELEASE": str(os_release),
            "NAV_PKG_NOETIC": str(tmp_path / "noetic"),
        }

        def run(self, *command, **env):
            return subprocess.run(
                [str(c) for c in command],
                env={**self.env, **env},
                cwd=str(tmp_path),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                text=True,
                timeout=120,
            )

        def setup(self, *args, **env):
            return self.run(self.root / "setup/setup.sh", *args, **env)

        def nobody(self):
            """An ordinary user's machine with no package installed."""
            program(self.bin / "id", 'if [ "${1:-}" = -u ]; then echo 1000; else exec /usr/bin/id "$@"; fi\n')
            program(self.bin / "dpkg-query", "exit 1\n")

        def make_prefix(self):
            """Stands for Gazebo's folder: its server prints its surroundings."""
            program(self.prefix / "bin/gzserver", 'echo "arguments: $*"\nenv\n')
            (self.prefix / "lib").mkdir()
            (self.prefix / "lib/libgazebo.so.11").write_text("x" * 10)
            lines = [f"{f.stat().st_size} {f.relative_to(self.prefix)}" for f in self.files()]
            (self.prefix / "MANIFEST").write_text("\n".join(lines) + "\n")

        def files(self):
            return sorted(f for f in self.prefix.rglob("*") if f.is_file())

    return Site()


def one_line(text):
    assert len(text.strip().splitlines()) == 1, text
    return text.strip()


def test_an_unsupported_system_gets_one_line(site):
    site.release.write_text('PRETTY_NAME="Fedora Linux 40"\nID=fedora\nVERSION_ID=40\n')
    done = site.setup()
    assert done.returncode == 2 and done.stdout == ""
    line = one_line(done.stderr)
    assert "Fedora Linux 40" in line and "Debian 12" in line and "Noetic" in line
    assert list(site.home.iterdir()) == []


def test_another_debian_is_not_supported(site):
    site.release.write_text("ID=debian\nVERSION_ID=13\n")
    assert site.setup().returncode == 2


def test_arguments_are_refused(site):
    done = site.setup("--force")
    assert done.returncode == 2 and "--force" in one_line(done.stderr)


def test_noetic_with_gazebo_11_is_used(site):
    program(site.bin / "gzserver-11.9.0", "exit 1\n")
    (site.bin / "gzserver").symlink_to("gzserver-11.9.0")
    noetic = Path(site.env["NAV_PKG_NOETIC"])
    noetic.mkdir()
    (noetic / "setup.bash").touch()
    site.release.write_text('ID=ubuntu\nVERSION_ID="20.04"\n')
    command = f". {site.root}/setup/lib.sh; platform"
    assert site.run("bash", "-c", command).stdout == "noetic\n"
    (site.bin / "gzserver").unlink()
    assert site.run("bash", "-c", command).stdout == ""


def test_noetic_without_cv_bridge_is_told_before_anything_is_made(site):
    program(site.bin / "gzserver-11.9.0", "exit 1\n")
    (site.bin / "gzserver").symlink_to("gzserver-11.9.0")
    packages = Path(site.env["NAV_PKG_NOETIC"]) / "lib/python3/dist-packages"
    packages.mkdir(parents=True)
    (packages / "cv_bridge.py").write_text("raise ImportError\n")
    (packages.parents[2] / "setup.bash").touch()
    for name in ("g++", "cmake", "make", "Xvfb"):
        program(site.bin / name, "exit 1\n")
    done = site.setup()
    assert done.returncode == 2
    assert "ros-noetic-cv-bridge python3-opencv" in one_line(done.stderr)
    assert not list((site.home / ".local/share/nav_pkg").glob("venv*"))


def test_what_images_need_is_declared_everywhere():
    for file, names in {
        "package.xml": ("<exec_depend>cv_bridge<", "<exec_depend>python3-opencv<"),
        "setup/packages-debian12.txt": ("python3-cv-bridge", "python3-opencv"),
        "docs/dependencies.md": ("`python3-cv-bridge`", "`python3-opencv`", "`opencv-python-headless`"),
        "pyproject.toml": ('"opencv-python-headless>=',),
    }.items():
        text = (REPO / file).read_text()
        assert [name for name in names if name not in text] == [], file
    # PyPI's beside the system's would hide it, and wants NumPy 2
    for pins in (REPO / "setup").glob("requirements*.txt"):
        assert "opencv" not in pins.read_text(), pins


def test_without_root_and_sudo_the_command_is_named(site):
    site.nobody()
    # All of the system's programs but sudo.
    system = site.bin.parent / "system"
    system.mkdir()
    for entry in os.scandir("/usr/bin"):
        if entry.name != "sudo":
            (system / entry.name).symlink_to(entry.path)
    done = site.setup(PATH=f"{site.bin}:{system}")
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert "sudo" in line and "apt-get install --no-install-recommends" in line and "python3-rospy" in line


def test_a_sudo_that_refuses_is_named(site):
    site.nobody()
    program(site.bin / "sudo", "exit 1\n")
    done = site.setup()
    assert done.returncode == 2
    assert "sudo does not let this user" in one_line(done.stderr)


def offered(site, *versions):
    """pip's index as a folder of wheels, of which it reads the names alone."""
    wheels = site.home / "wheels"
    wheels.mkdir(exist_ok=True)
    for version in versions:
        (wheels / f"torch-{version}-py3-none-any.whl").touch()
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "NAV_PKG_TORCH": "cpu"}


def test_which_torch_pip_offers(site):
    lines = (REPO / "setup/requirements.txt").read_text().splitlines()
    pin = next(line.split("==")[1] for line in lines if line.startswith("torch=="))
    (site.root / "setup/requirements-py3.8.txt").unlink()
    command = (f". {site.root}/setup/lib.sh; NAV_LOG=/dev/null; torch_offer",)
    small = site.run("bash", "-c", *command, **offered(site, pin, f"{pin}+cpu"))
    assert small.stdout.strip() == "small"
    cuda = {**offered(site), "NAV_PKG_TORCH": "cuda"}
    assert site.run("bash", "-c", *command, **cuda).stdout.strip() == "large"


def test_what_is_fetched_is_said_before_it_begins(site):
    """As root on a machine that lacks all; apt, the first step, is a stand-in that fails."""
    program(site.bin / "id", 'if [ "${1:-}" = -u ]; then echo 0; else exec /usr/bin/id "$@"; fi\n')
    program(site.bin / "dpkg-query", "exit 1\n")
    program(site.bin / "dpkg", "exit 0\n")
    program(site.bin / "apt-get", "exit 100\n")
    lines = (REPO / "setup/requirements.txt").read_text().splitlines()
    pin = next(line.split("==")[1] for line in lines if line.startswith("torch=="))
    (site.root / "setup/requirements-py3.8.txt").unlink()
    done = site.setup(**offered(site, pin))
    assert done.returncode == 2
    before, _, _ = done.stdout.partition("installing Debian packages")
    assert "7 GB on disk" in before and "PIP_EXTRA_INDEX_URL" in before and "PIP_FIND_LINKS" in before
    assert "Gazebo 11 (190 MB" in before and "HTCondor (27 MB" in before and "Debian packages" in before
    program(site.bin / "df", "printf 'Filesystem\\nx 1 1 999 1%% /\\n'\n")
    done = site.setup(NAV_PKG_TORCH="cuda")
    assert done.returncode == 2 and "999 MB free" in one_line(done.stderr) and "NAV_PKG_SHARE" in done.stderr


def test_a_second_setup_waits_for_the_first(site):
    site.nobody()
    program(site.bin / "sudo", "exit 1\n")
    lock = site.home / ".local/share/nav_pkg/setup.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [str(site.root / "setup/setup.sh")],
            env=site.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "another set-up" in second.stdout.readline()
        assert second.poll() is None
    _, errors = second.communicate(timeout=120)  # the lock is free: it goes on, to the refusal
    assert second.returncode == 2 and "sudo does not let" in one_line(errors)


def test_env_before_setup(site):
    done = site.run("bash", "-c", f". {site.root}/env.sh; echo returned $?")
    assert done.stdout == "returned 2\n"
    line = one_line(done.stderr)
    assert "make setup" in line and str(site.root) in line


def test_env_names_a_lost_environment(site):
    (site.root / "build").mkdir()
    (site.root / "build/env").write_text("export NAV_PKG_VENV=/nowhere\n")
    done = site.run("bash", "-c", f". {site.root}/env.sh; echo returned $?")
    assert done.stdout == "returned 2\n" and "make setup" in one_line(done.stderr)


def test_env_names_another_machines_environment(site):
    """As in a container that a checkout is mounted into."""
    (site.root / "setup/check").write_text("#!/bin/bash\n")
    (site.root / "build").mkdir()
    (site.root / "build/env").write_text("export NAV_PKG_VENV=/nowhere\n")
    done = site.run("bash", "-c", f". {site.root}/env.sh; echo returned $?")
    assert done.stdout == "returned 2\n"
    line = one_line(done.stderr)
    assert "/nowhere" in line and "make setup" in line


def test_env_keeps_the_arguments_of_a_script_to_itself(site):
    """Catkin's file, which reads its arguments, gets none of those of the script that sources ours."""
    (site.root / "setup/check").write_text("#!/bin/bash\n")
    (site.root / "build/.ws/devel").mkdir(parents=True)
    program(site.root / "venv/bin/python", "")
    (site.root / "build/env").write_text(f"export NAV_PKG_VENV={site.root}/venv\n")
    (site.root / "build/.ws/devel/setup.bash").write_text('echo "catkin: $#"\n')
    done = site.run("bash", "-c", f'. {site.root}/env.sh && echo "$@"', "script", "main.py", "--help")
    assert (done.stdout, done.stderr) == ("catkin: 0\nmain.py --help\n", "")


@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_damaged_prefix_is_named(site, damage):
    site.make_prefix()
    assert site.run(site.root / "setup/check", "prefix").returncode == 0
    library = site.prefix / "lib/libgazebo.so.11"
    if damage == "removed":
        library.unlink()
    else:
        library.write_text("x")
    for command in (["setup/check", "prefix"], ["setup/gzserver", "some.world"]):
        done = site.run(site.root / command[0], command[1])
        assert done.returncode == 2 and done.stdout == ""
        line = one_line(done.stderr)
        assert "lib/libgazebo.so.11" in line and str(site.prefix) in line and "make setup" in line


def make_condor(site):
    """Stands for HTCondor's folder."""
    folder = site.home / ".local/share/nav_pkg/condor"
    program(folder / "sbin/condor_master", "exit 0\n")
    size = (folder / "sbin/condor_master").stat().st_size
    (folder / "MANIFEST").write_text(f"5 RECIPE\n{size} sbin/condor_master\n")
    (folder / "RECIPE").write_text("1000\n")
    return folder


def test_a_damaged_condor_is_named(site):
    done = site.run(site.root / "setup/check", "condor")
    assert done.returncode == 2 and "no HTCondor in" in one_line(done.stderr)
    folder = make_condor(site)
    assert site.run(site.root / "setup/check", "condor").returncode == 0
    (folder / "sbin/condor_master").write_text("x")
    line = one_line(site.run(site.root / "setup/check", "condor").stderr)
    assert "HTCondor's folder" in line and "sbin/condor_master" in line and "make setup" in line


def test_a_pool_of_the_machines_own_is_used(site):
    command = ("bash", "-c", f". {site.root}/setup/lib.sh; own_condor")
    assert site.run(*command).returncode == 1
    folder = make_condor(site)
    # ours, in the PATH of a shell that uses the personal pool, is not the machine's
    assert site.run(*command, PATH=f"{folder}/sbin:{site.env['PATH']}").returncode == 1
    assert "/some/where" in site.run(*command, CONDOR_CONFIG="/some/where").stdout
    program(site.bin / "condor_master", "exit 0\n")
    assert f"{site.bin}/condor_master" in site.run(*command).stdout


def test_the_place_of_what_is_shared_can_be_chosen(site):
    """As container images do: one folder for all users, one build of torch whatever the host has."""
    done = site.run(
        "bash", "-c", f". {site.root}/setup/lib.sh; venv_dir; echo $NAV_CONDOR",
        NAV_PKG_SHARE="/opt/share", NAV_PKG_TORCH="cuda",
    )  # fmt: skip
    venv, condor = done.stdout.split()
    assert venv.startswith("/opt/share/venv-") and "-cuda-" in venv and condor == "/opt/share/condor"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_shared_folder_that_cannot_be_written_to(site):
    """As in a container's image, run by an ordinary user with another checkout: one line says what lacks."""
    share = site.home / "share"
    share.mkdir(mode=0o555)
    listed = f"{site.root}/setup/packages-debian12.txt"
    program(site.bin / "dpkg-query", f"sed -e 's/ *#.*//' -e '/^$/d' -e 's/^/installed /' {listed}\n")
    done = site.setup(NAV_PKG_SHARE=str(share))
    assert done.returncode == 2
    line = one_line(done.stderr)
    assert str(share) in line and "NAV_PKG_SHARE" in line and list(share.iterdir()) == []


def test_what_a_catkin_workspace_gets(site):
    """CMakeLists.txt takes two lines from setup/where, or the one that it fails with."""
    done = site.run(site.root / "setup/where")
    assert done.returncode == 2 and "Python environment" in one_line(done.stderr)
    venv = site.run("bash", "-c", f". {site.root}/setup/lib.sh; venv_dir").stdout.strip()
    program(Path(venv) / "bin/python", "")
    (Path(venv) / ".complete").touch()
    done = site.run(site.root / "setup/where")
    assert done.returncode == 2 and "no Gazebo" in one_line(done.stderr)
    site.make_prefix()
    assert site.run(site.root / "setup/where").stdout.split() == [f"{venv}/bin/python", str(site.prefix)]
    # ROS Noetic: the machine's own Gazebo
    program(site.bin / "gzserver-11.9.0", "exit 1\n")
    (site.bin / "gzserver").symlink_to("gzserver-11.9.0")
    noetic = Path(site.env["NAV_PKG_NOETIC"])
    noetic.mkdir()
    (noetic / "setup.bash").touch()
    assert site.run(site.root / "setup/where").stdout.split() == [f"{venv}/bin/python"]


def test_the_plugin_is_that_of_the_workspace_in_use(site):
    """A workspace that the checkout is linked into builds its own; an older one must not be flown."""
    site.make_prefix()
    space = site.home / "ws/devel"
    (space / "lib").mkdir(parents=True)
    paths = {"CMAKE_PREFIX_PATH": f"/nowhere:{space}:/usr"}

    def folder():
        lines = site.run(site.root / "setup/gzserver", **paths).stdout.splitlines()
        path = next(line for line in lines if line.startswith("GAZEBO_PLUGIN_PATH="))
        return path.split("=")[1].split(":")[0]

    assert folder() == f"{site.root}/build/.ws/devel/lib"
    (space / "lib/libnav_pkg_gazebo.so").touch()
    assert folder() == f"{space}/lib"


def test_no_prefix_is_named(site):
    done = site.run(site.root / "setup/gzserver")
    assert done.returncode == 2 and "make setup" in one_line(done.stderr)


def test_the_launcher_sets_what_gazebo_needs(site):
    site.make_prefix()
    done = site.run(site.root / "setup/gzserver", "a.world", "--lockstep", GAZEBO_MODEL_PATH="/mine")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "arguments: a.world --lockstep"
    env = dict(line.split("=", 1) for line in lines[1:] if "=" in line)
    assert env["LD_LIBRARY_PATH"].split(":")[0] == f"{site.prefix}/lib"
    assert env["GAZEBO_MODEL_DATABASE_URI"] == ""
    assert env["GAZEBO_IP"] == env["IGN_IP"] == "127.0.0.1"
    assert env["GAZEBO_MODEL_PATH"].split(":")[:2] == ["/mine", f"{site.root}/models"]
    assert env["GAZEBO_PLUGIN_PATH"].split(":")[0] == f"{site.root}/build/.ws/devel/lib"


def test_qt_is_not_taken_from_the_host(site):
    # the host's Qt cannot load the plugins of Debian 11's, and its packages are not laid out
    program(
        site.bin / "apt-cache", "printf '%s\\n' python3-opencv '  Depends: libqt5gui5' libqt5gui5 libjpeg62\n"
    )
    program(site.bin / "dpkg-query", "printf 'installed %s\\n' libjpeg62 libqt5gui5 python3-opencv other\n")
    done = site.run("bash", "-c", f". {site.root}/setup/lib.sh; . {site.root}/setup/prefix.sh; host_packages")
    assert done.stdout.split() == ["libjpeg62", "python3-opencv"], done


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg")
def test_kept_packages_are_checked_before_they_are_unpacked(site):
    source = site.home / "package"
    (source / "DEBIAN").mkdir(parents=True)
    control = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
    pack = ["dpkg-deb", "-b", str(source), str(site.home / "debs/a.deb")]
    (source / "DEBIAN/control").write_text(control)
    (source / "file").write_text("good")
    debs = site.home / "debs"
    debs.mkdir()
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    shutil.copy(debs / "a.deb", debs / "not-listed.deb")
    unpacked = site.home / "unpacked"
    command = f". {site.root}/setup/lib.sh; . {site.root}/setup/prefix.sh; unpack {debs} {unpacked}"
    assert site.run("bash", "-c", command).returncode == 1, "without sums"
    listed = hashlib.sha256((debs / "a.deb").read_bytes()).hexdigest()
    (debs / "SHA256SUMS").write_text(f"{listed}  a.deb\n")
    assert site.run("bash", "-c", command).returncode == 0
    assert (unpacked / "file").read_text() == "good"
    (source / "file").write_text("evil")
    subprocess.run(pack, check=True, stdout=subprocess.DEVNULL)
    done = site.run("bash", "-c", command)
    assert done.returncode == 1 and "a.deb: FAILED" in done.stdout
    assert list(unpacked.iterdir()) == []


@pytest.mark.parametrize("pins", sorted(REPO.glob("setup/requirements*.txt")), ids=lambda path: path.name)
def test_every_pin_has_sums(pins):
    """`make pins` after a change; torch's files differ from index to index."""

    def pinned(path):
        lines = path.read_text().replace("\\\n", " ").splitlines()
        hashes = {}
        for line in lines:
            if "==" in line:
                name, version = line.split()[0].lower().split("==")
                name = re.sub("[-_.]+", "-", name)
                hashes[f"{name}=={version}"] = line.count("--hash=sha256:")
        return hashes

    versions, locked = pinned(pins), pinned(pins.with_suffix(".lock"))
    assert {name for name in versions if not name.startswith("torch==")} == set(locked), "run 'make pins'"
    assert min(locked.values()) >= 1


def test_the_pins_are_whole():
    """They are installed without looking for what they need, so all of that has to be among them."""
    packaging = pytest.importorskip("packaging.requirements")
    lines = (REPO / "setup/requirements.txt").read_text().splitlines()
    names = [line.split("==")[0] for line in lines if "==" in line]
    missing = []
    for name in names:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"another environment than set-up's: no {name}")
        for need in map(packaging.Requirement, needs):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                try:
                    here = importlib.metadata.version(need.name)
                except importlib.metadata.PackageNotFoundError:
                    here = None
                if here is None or not need.specifier.contains(here, prereleases=True):
                    missing.append(f"{name} needs {need}, here is {here}")
    assert missing == []


def test_the_environment_follows_the_requirements(site):
    command = f". {site.root}/setup/lib.sh; venv_dir"
    requirements = site.root / "setup/requirements.txt"
    before = site.run("bash", "-c", command).stdout
    text = requirements.read_text()
    requirements.write_text("# a remark\n" + text)
    assert site.run("bash", "-c", command).stdout == before
    requirements.write_text(text + "one-more==1.0\n")
    assert site.run("bash", "-c", command).stdout != before
