"""The interface definitions carried here are those of the released gazebo_msgs."""

from pathlib import Path

import pytest

genmsg = pytest.importorskip("genmsg", reason="needs ROS's message generator")
from genmsg import MsgContext, gentools, msg_loader  # noqa: E402

HERE = Path(__file__).resolve().parents[2] / "gazebo_msgs"

# MD5 sums that clients of the released package (Noetic's 2.9) send when they connect.
RELEASED = {
    "msg/ContactState": "48c0ffb054b8c444f870cecea1ee50d9",
    "msg/ContactsState": "acbcb1601a8e525bf72509f18e6f668d",
    "msg/ModelState": "9330fd35f2fcd82d457e54bd54e10593",
    "msg/ModelStates": "48c080191eb15c41858319b4d8a609c2",
    "msg/ODEPhysics": "667d56ddbd547918c32d1934503dc335",
    "srv/DeleteModel": "9ce56b4e9e54616de25d796dc972a262",
    "srv/GetModelState": "4c515e936d3319c9610c559c60bfc3d4",
    "srv/GetPhysicsProperties": "575a5e74786981b7df2e3afc567693a6",
    "srv/GetWorldProperties": "36bb0f2eccf4d8be971410c22818ba3f",
    "srv/SetModelState": "5b3ab0281d4f5445def017e3a2e4a07b",
    "srv/SetPhysicsProperties": "97e2057080558ce4730434b5fae75c91",
    "srv/SpawnModel": "9ed9c82c96abe1a00c3e8cdaeee24413",
}


def md5(kind, name):
    share = next(p for p in (Path("/usr/share"), Path("/opt/ros/noetic/share")) if (p / "std_msgs").is_dir())
    search = {package: [str(share / package / "msg")] for package in ("geometry_msgs", "std_msgs")}
    search["gazebo_msgs"] = [str(HERE / "msg")]
    context = MsgContext.create_default()
    full_name = f"gazebo_msgs/{name}"
    if kind == "msg":
        spec = msg_loader.load_msg_by_type(context, full_name, search)
        msg_loader.load_depends(context, spec, search)
    else:
        spec = msg_loader.load_srv_from_file(context, str(HERE / "srv" / f"{name}.srv"), full_name)
        msg_loader.load_depends(context, spec.request, search)
        msg_loader.load_depends(context, spec.response, search)
    return gentools.compute_md5(context, spec)


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_md5_is_the_released_one(name):
    assert md5(*name.split("/")) == RELEASED[name]


def test_every_definition_is_checked():
    files = {f"{p.parent.name}/{p.stem}" for kind in ("msg", "srv") for p in (HERE / kind).iterdir()}
    assert files == set(RELEASED)


def test_the_built_messages_are_these():
    msg = pytest.importorskip("gazebo_msgs.msg", reason="needs env.sh")
    srv = pytest.importorskip("gazebo_msgs.srv")
    for name, released in RELEASED.items():
        kind, cls = name.split("/")
        assert getattr({"msg": msg, "srv": srv}[kind], cls)._md5sum == released
