"""This process as a client of a pool: configuration of `htcondor2`, and query of the pool's machines."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Dict, List, Mapping, Tuple

from nav_pkg.cluster.plan import DagPlan
from nav_pkg.core import SimulatorError


def offline() -> None:
    """Allow the import of `htcondor2` without a pool, to write and check files without any query."""
    if "htcondor2" not in sys.modules and not os.path.isfile(os.environ.get("CONDOR_CONFIG", "")):
        os.environ["CONDOR_CONFIG"] = "ONLY_ENV"


def use(environment: Mapping[str, str]) -> None:
    """Connect `htcondor2` to a pool.

    Args:
        environment: CONDOR_CONFIG, and PATH with HTCondor's programs.
    """
    os.environ.update(environment)
    if "htcondor2" in sys.modules:
        import htcondor2

        htcondor2.reload_config()


@dataclass(frozen=True)
class Machines:
    """The machines of a pool.

    Attributes:
        sizes: (cores, MB of memory, MB of disk, GPUs) of each machine.
    """

    sizes: Tuple[Tuple[int, int, int, int], ...]

    @staticmethod
    def of_pool() -> Machines:
        """Query the machines from the pool's collector.

        Raises:
            SimulatorError: the collector does not answer.
        """
        import htcondor2

        names = ["Machine", "TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk", "TotalSlotGPUs", "SlotType"]
        try:
            ads = htcondor2.Collector().query(htcondor2.AdTypes.Startd, 'SlotType =!= "Dynamic"', names)
        except htcondor2.HTCondorException as error:
            raise SimulatorError(
                f"the pool's collector does not answer ({error}): see CONDOR_CONFIG and "
                "scripts/pool.py status"
            ) from error
        return Machines(
            tuple(
                (
                    int(ad.get("TotalSlotCpus", 0)),
                    int(ad.get("TotalSlotMemory", 0)),
                    int(float(ad.get("TotalSlotDisk", 0)) / 1024),
                    int(ad.get("TotalSlotGPUs", 0)),
                )
                for ad in ads
            )
        )

    @property
    def gpus(self) -> bool:
        """Whether any machine has a GPU."""
        return any(size[3] for size in self.sizes)

    def unfit(self, plan: DagPlan) -> List[str]:
        """One line per kind of job whose resource request no machine of the pool can satisfy."""
        lines: Dict[str, str] = {}
        for job in plan.jobs:
            asks = job.resources
            wanted = (asks.cpus, asks.memory, asks.disk, asks.gpus)
            if any(all(w <= s for w, s in zip(wanted, size)) for size in self.sizes):
                continue
            if plan.hosts.file_transfer and not plan.transferred(job):
                continue
            most = [max((size[i] for size in self.sizes), default=0) for i in range(4)]
            lines.setdefault(
                job.kind,
                f"{job.kind} jobs request {wanted[0]} cores, {wanted[1]} MB of memory, {wanted[2]} MB of "
                f"disk and {wanted[3]} GPUs; no machine of the pool has all of it (at most {most[0]}, "
                f"{most[1]}, {most[2]}, {most[3]}): they wait for one; see --cpus, --rammem, --diskmem, "
                "--gpunum",
            )
        return list(lines.values())
