"""Callbacks that end their node when they fail.

rospy runs callbacks in its own threads and only logs their exceptions. The node continues without an answer,
and half a minute later the supervisor reports a missing frame, as if the simulator had failed. A callback
wrapped by `exit_on_error` prints the error at once and ends the process with the failed part's exit code.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from typing import Any, Callable, NoReturn, Optional

import rospy

from nav_pkg.core import NavError, SimulatorError


def exit_on_error(callback: Callable[..., Any], code: Optional[int] = None) -> Callable[..., Any]:
    """Wrap a callback (of a topic, a service or a timer): its failure ends the process at once.

    A NavError is printed as one `error:` line. Any other exception is a bug: its traceback is printed, and
    then such a line. While ROS shuts down nothing is printed, because broken connections are normal then.

    Args:
        callback: the function.
        code: the exit code for every failure (LearnerError.code in the learner). None: a NavError's own
            code, and that of SimulatorError for other exceptions.

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
    """Print the error and end the process at once, from any thread.

    Args:
        error: the exception; call this function inside its `except` block.
        code: as for `exit_on_error`.
    """
    if isinstance(error, NavError):
        text, own = str(error), error.code
    else:
        traceback.print_exception(type(error), error, error.__traceback__)
        reason = " ".join(str(error).split())
        description = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        text, own = f"{description} (a bug: the traceback is above)", SimulatorError.code
    print(f"error: {text}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # sys.exit would end only this thread.
    os._exit(own if code is None else code)
