"""A simulator made of equations, for closed loops in seconds: a unicycle with first-order lags."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nav_pkg.control.seeds import generator
from nav_pkg.core import Observation, Pose, Velocity
from nav_pkg.world import load_plan

RAYS = 360
LIDAR_MAX = 3.5
SIGMA = 0.01
SUBSTEP = 0.01
CAMERA = 0.1
"""How far the depth camera sits in front of the robot's middle, metres."""
COLUMNS = np.arctan(np.linspace(1, -1, 41) * math.tan(math.radians(40)))


class Kinematic:
    """The robot of the closed loops.

    Args:
        plan: the world.
        yaw_lag: time constant of the yaw rate, seconds; 0 for none.
        lag: time constant of the speeds, seconds.
        depth: whether it has a depth camera (one row, 80 degrees, reaching 2 m).
    """

    def __init__(self, plan, yaw_lag=0.15, lag=0.3, depth=False):
        self.plan = plan
        self.yaw_lag, self.lag, self.depth = yaw_lag, lag, depth
        self.lines = plan.segments()
        self.angles = (np.arange(RAYS) - RAYS // 2) * (2 * math.pi / RAYS)
        # Only what the expert looks at.
        self.used = np.abs(self.angles) <= math.radians(50.5)
        self.wall = math.inf

    def reset(self, pose, seed):
        self.noise = generator(seed, "lidar")
        self.stamp = 0
        self.x, self.y, self.z, self.yaw = pose.x, pose.y, pose.z, pose.yaw
        self.v = [0.0, 0.0, 0.0, 0.0]
        self.wall = math.inf
        return self._observe()

    def step(self, segments):
        for command, duration in segments:
            count = max(1, round(duration / 1e9 / SUBSTEP))
            h = duration / 1e9 / count
            shares = [1.0 if t == 0 else 1 - math.exp(-h / t) for t in (self.lag,) * 3 + (self.yaw_lag,)]
            for _ in range(count):
                self.v = [v + (c - v) * s for v, c, s in zip(self.v, command, shares)]
                self.yaw += self.v[3] * h
                cos, sin = math.cos(self.yaw), math.sin(self.yaw)
                self.x += (self.v[0] * cos - self.v[1] * sin) * h
                self.y += (self.v[0] * sin + self.v[1] * cos) * h
                self.z = max(0.0, self.z + self.v[2] * h)
            self.stamp += duration
        return self._observe()

    def _cast(self, x, y, angles, reach):
        """The plan's own ray_cast, without the walls out of reach; and the distance to the nearest wall."""
        start, span = self.lines[:, :2], self.lines[:, 2:] - self.lines[:, :2]
        gap = start - np.array([x, y])
        share = np.clip(-(gap * span).sum(1) / (span**2).sum(1), 0, 1)
        away = np.hypot(*(gap + share[:, None] * span).T)
        near = away <= reach
        gap, span = gap[near], span[near]
        ray = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        across = ray[:, :1] * span[:, 1] - ray[:, 1:] * span[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = (gap[:, 0] * span[:, 1] - gap[:, 1] * span[:, 0]) / across
            part = (gap[:, 0] * ray[:, 1:] - gap[:, 1] * ray[:, :1]) / across
        hit = (distance >= 0) & (part >= -1e-9) & (part <= 1 + 1e-9)
        return np.where(hit, distance, np.inf).min(axis=1, initial=np.inf), float(away.min())

    def _observe(self):
        ranges, nearest = self._cast(self.x, self.y, self.yaw + self.angles[self.used], LIDAR_MAX)
        self.wall = min(self.wall, nearest)
        depth = None
        if self.depth:
            # Walls beyond 2 m decide nothing here.
            x, y = self.x + CAMERA * math.cos(self.yaw), self.y + CAMERA * math.sin(self.yaw)
            row = self._cast(x, y, self.yaw + COLUMNS, 2.0)[0] * np.cos(COLUMNS)
            depth = row.astype(np.float32)[None]
        measured = ranges + SIGMA * self.noise.standard_normal(len(ranges))
        scan = np.full(RAYS, np.inf, np.float32)
        scan[self.used] = np.where(measured > LIDAR_MAX, np.inf, measured)
        pose = Pose(self.x, self.y, self.z, yaw=math.remainder(self.yaw, 2 * math.pi))
        return Observation(self.stamp, pose, Velocity(*self.v), depth=depth, scan=scan)


@pytest.fixture(scope="session")
def plan():
    """The world esatv3."""
    return load_plan("esatv3")


@pytest.fixture
def kinematic(plan):
    """Makes kinematic simulators of esatv3."""
    return lambda **settings: Kinematic(plan, **settings)
