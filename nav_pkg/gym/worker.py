"""The process of one environment of a vector environment: answers requests until its connection ends.

It is started as a program, not by `multiprocessing`: it does not import the user's main script again, and
inherits no thread, lock or OpenGL context.
"""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection
from typing import Any, Tuple

from nav_pkg.core import NavError, SimulatorError

DONE, WRONG, BROKEN = "done", "wrong", "broken"
"""Kinds of answers: a result; an error of the caller; the simulator failed, and this process is of no use."""


def main() -> None:
    """Serve the connection whose file descriptor is the first argument."""
    connection = Connection(int(sys.argv[1]))
    environment: Any = None
    try:
        while True:
            number, request, value = connection.recv()
            if request == "close":
                break
            try:
                if request == "make":
                    from nav_pkg.gym.environment import CorridorEnv

                    environment = CorridorEnv(**value)
                    answer: Tuple[str, Any] = (DONE, None)
                else:
                    answer = (DONE, _answer(environment, request, value))
            except SimulatorError as error:
                answer = (BROKEN, str(error))
            except NavError as error:
                answer = (WRONG, (type(error), str(error)))
            except Exception:
                answer = (WRONG, (RuntimeError, traceback.format_exc()))
            connection.send((number, *answer))
    except (EOFError, ConnectionError):  # the vector environment is gone
        pass
    finally:
        if environment is not None:
            environment.close()


def _answer(environment: Any, request: str, value: Any) -> Any:
    if request == "reset":
        return environment.reset(**value)
    if request == "step":
        return environment.step(value)
    if request == "set":
        return setattr(environment, *value)
    name, positional, named = value
    attribute = getattr(environment, name)
    return attribute(*positional, **named) if callable(attribute) else attribute


if __name__ == "__main__":
    main()
