"""Callbacks that end their node when they fail.

rospy runs callbacks in threads of its own and only logs what they raise: the node lives on without an
answer, and half a minute later the supervisor reports a frame that never came, as if the simulator had
failed. A guarded callback says at once what went wrong and ends the process with an exit code that
tells whose failure it is.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from typing import Any, Callable, NoReturn, Optional

import rospy

from nav_pkg.core import NavError, SimulatorError


def guarded(callback: Callable[..., Any], code: Optional[int] = None) -> Callable[..., Any]:
    """A callback (of a topic, a service or a timer) whose failure ends the process at once.

    A NavError is printed as one `error:` line. Anything else is a bug: its traceback is printed, and
    then a line likewise. While ROS shuts down nothing is said: connections break then, as they should.

    Args:
        callback: the function.
        code: the exit code, whatever fails (LearnerError.code in the learner); None takes a NavError's
            own code, and SimulatorError's for anything else.

    Returns:
        A function with the same arguments and result.
    """

    @functools.wraps(callback)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return callback(*args, **kwargs)
        except Exception as error:
            if rospy.is_shutdown():
                return None
            fail(error, code)

    return call


def fail(error: Exception, code: Optional[int] = None) -> NoReturn:
    """Say what failed and end the process at once, from any thread.

    Args:
        error: what was raised; call it where the error is handled.
        code: as for `guarded`.
    """
    if isinstance(error, NavError):
        text, own = str(error), error.code
    else:
        traceback.print_exception(type(error), error, error.__traceback__)
        reason = " ".join(str(error).split())
        what = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        text, own = f"{what} (a bug: the traceback is above)", SimulatorError.code
    print(f"error: {text}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # sys.exit would end this thread alone.
    os._exit(own if code is None else code)
