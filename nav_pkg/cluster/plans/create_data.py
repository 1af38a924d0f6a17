"""The jobs of dag_create_data.py: recorders that share the runs of a session, then merge and cleaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from nav_pkg.cluster.plans.base import DagCommand, PlannedJob, camera_data_of, layer, refuse_existing
from nav_pkg.config import cleaning as cleaning_config
from nav_pkg.config import learner
from nav_pkg.config import session as session_config
from nav_pkg.config.cleaning import CleaningConfig
from nav_pkg.config.dataset import GatherConfig, VerifyConfig
from nav_pkg.config.session import SessionConfig
from nav_pkg.config.setting import to_argv
from nav_pkg.core import UsageError
from nav_pkg.data import clean
from nav_pkg.flight.schedule import FlightSchedule
from nav_pkg.session import arguments
from nav_pkg.session.session import Session
from nav_pkg.studies import workload
from nav_pkg.world import load_plan

_FIXED_FOR_CLEANING = ("--startswith", "--endswith", "--sources", "--again")
"""Flags of clean_dataset.py that the command sets itself."""

ABOUT = """Record a dataset with many simulators in parallel on a cluster, and clean it.

The recorder jobs share the runs of one session. Run i is the same flight in every job, so the dataset has the
same bytes for any number of jobs. Further jobs gather the recordings under the tag, clean and split them into
--destination, and verify the result. Flags of run_script.py apply to the recorders, flags of clean_dataset.py
to the cleaning.

Example:
    dag_create_data.py -t collect --number_of_recorders 4 --number_of_runs 2 \\
        --destination mine --val_len 1
"""


class CreateData(DagCommand):
    """The DAG of dag_create_data.py: N recorders -> merge -> clean -> verify."""

    name = "dag_create_data.py"
    about = ABOUT
    shared = ("--random_seed",)
    gpu_jobs = False

    def layers(self) -> List[Any]:
        """run_script.py records, clean_dataset.py cleans; flags of main.py go to the learner in flight."""
        return [
            layer(
                "run_script.py", session_config.make_parser(), "--shard", "--data_location", "--shared_master"
            ),
            layer("clean_dataset.py", cleaning_config.make_parser(), *_FIXED_FOR_CLEANING),
            layer("main.py", learner.make_parser(), wall_time="give --wall_time_rec"),
        ]

    def check(self) -> None:
        """Check the flags of recorders and cleaning, and that the destination overlaps no other folder."""
        line, learned = arguments.split(self._recorder(0, 1, checked=True))
        if line.learns:
            raise UsageError(
                f"{self.name}: --online without --no_training learns, which needs its runs in order: see "
                "dag_train_online.py"
            )
        Session(line, learned, check_only=True)
        self.flights = arguments.schedule(line)
        self.runs = line.number_of_runs
        self.frame = camera_data_of(line)
        self.checkpoint = line.checkpoint_path
        cleaning = cleaning_config.parse(self._cleaning())
        if cleaning.dry_run:
            raise UsageError(f"{self.name}: --dry_run: belongs to clean_dataset.py; see --estimate")
        lap = load_plan(self.flights.world).route.length / max(0.1, self.flights.speed)
        if 0 < self.flights.max_duration < lap and cleaning.outcomes == ("success",):
            self.warn(
                f"--max_duration {self.flights.max_duration:g}: ends before a whole lap ({lap:.0f} s), and "
                "cleaning keeps only whole laps: give --outcomes timeout too"
            )
        destination = Path(self.config.destination)
        for other, role in (
            (self.tag, "the tag, as which the recordings are gathered"),
            (f"recorders/{self.tag}", "where the recorders write"),
        ):
            place = Path(other)
            if destination == place or destination in place.parents or place in destination.parents:
                raise UsageError(
                    f"{self.name}: --destination {destination}: {other} is {role}: choose another, not "
                    "within it or around it"
                )

    def check_places(self, resumes: bool) -> None:
        """Raise an error if the destination exists and does not belong to this DAG."""
        destination = self.data_root / self.config.destination
        if not self.config.owr and not resumes:
            refuse_existing(destination, "--destination")
        clean.check_same_sources(destination, [self.tag])

    def output(self) -> Path:
        """The cleaned dataset."""
        return self.data_root / self.config.destination

    def configuration(self) -> Dict[str, Any]:
        """The flags of the flights and the number of recorders; cleaning and destination may change."""
        return {
            "flags": {script: words for script, words in self.words.items() if script != "clean_dataset.py"},
            "number_of_recorders": self.config.number_of_recorders,
        }

    def _cleaning(self, **more: Any) -> List[str]:
        """The flags of clean_dataset.py."""
        config = CleaningConfig(sources=(self.tag,), destination=self.config.destination, **more)
        return [*self.words["clean_dataset.py"], *to_argv(config, "destination")]

    def _recording(self, number: int) -> str:
        return f"recorders/{self.tag}/r{number}"

    def _recorder(self, number: int, runs: int, checked: bool = False) -> List[str]:
        """The flags of a recorder.

        Args:
            number: index of the recorder, from 0.
            runs: runs per recorder; --number_of_runs is the total over all recorders.
            checked: whether the flags are only checked, without the shard.
        """
        count = self.config.number_of_recorders
        words = to_argv(
            SessionConfig(
                log_tag=f"{self.tag}/r{number}", create_dataset=True, data_location=self._recording(number)
            )
        )
        words += [*self.words["run_script.py"], *self.words["main.py"]]
        if not checked:
            shard = SessionConfig(number_of_runs=count * runs, shard=f"{number + 1}/{count}")
            words += to_argv(shard, "number_of_runs")
        return words

    def jobs(self) -> List[PlannedJob]:
        """The recorders, merge, cleaning and verification."""
        count, frames = self.config.number_of_recorders, expected_frames(self.flights)
        expert = self.flights.alpha >= 1
        work = workload.flights(
            self.runs,
            frames,
            workload.RECORDED if expert else workload.FLOWN,
            "" if expert else "tiny_net",
            frame=self.frame,
        )
        recorders = [
            self.plan_job(
                "record",
                f"r{number}",
                ["run_script.py", *self._recorder(number, self.runs)],
                work,
                wall_flag="wall_time_rec",
                simulator=True,
                checkpoints=(self.checkpoint,) if self.checkpoint else (),
                outputs=(f"log/{self.tag}/r{number}", f"data/{self._recording(number)}"),
                total=self.runs,
                unit="runs",
            )
            for number in range(count)
        ]
        names = tuple(recorder.job.name for recorder in recorders)
        reading = workload.cleaning(count * self.runs, frames * count * self.runs, self.frame)
        recordings = tuple(self._recording(number) for number in range(count))
        gather = GatherConfig(dataset=recordings, destination=self.tag, owr=True)
        verify = VerifyConfig(dataset=self.config.destination)
        linked = workload.Work(15.0 + reading.files / 4000, 300.0, 10.0, 0.0, reading.files)
        return [
            *recorders,
            self.plan_job(
                "merge",
                "merge",
                ["dataset.py", "gather", *to_argv(gather)],
                linked,
                parents=names,
                outputs=(f"data/{self.tag}",),
            ),
            self.plan_job(
                "clean",
                "clean",
                ["clean_dataset.py", *self._cleaning(again=True)],
                reading,
                parents=("merge",),
            ),
            self.plan_job(
                "verify",
                "verify",
                ["dataset.py", "verify", *to_argv(verify)],
                workload.Work(reading.seconds, 600.0, 10.0, 0.0, 0),
                parents=("clean",),
            ),
        ]


def expected_frames(flights: FlightSchedule) -> int:
    """Expected number of frames of a successful run: a whole lap, unless its duration limit is shorter.

    Args:
        flights: the schedule of the run.
    """
    plan = load_plan(flights.world)
    seconds = flights.max_duration or plan.limits["max_duration"]
    return round(10 * min(seconds, plan.route.length / max(0.1, flights.speed)))
