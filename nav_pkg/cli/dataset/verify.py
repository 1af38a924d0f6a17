"""Decode all images and compare all files with their checksums; exit code 3 on damage."""

from __future__ import annotations

import json

from nav_pkg.config.dataset import VerifyConfig
from nav_pkg.core import DataError
from nav_pkg.data import verify
from nav_pkg.data.progress import progress
from nav_pkg.data.reader import load_dataset


def run(config: VerifyConfig) -> int:
    """Verify a dataset against its checksums and print the differences."""
    report = verify.verify_dataset(
        load_dataset(config.dataset, config.data_root, check=False), lambda runs: progress(runs, "runs")
    )
    problems = report.all_problems
    if config.json:
        print(json.dumps(json.loads(verify.report_to_json(report)), indent=2))
    else:
        for line in report.notes + [note for item in report.runs for note in item.notes]:
            print(f"note: {line}")
        for line in report.warnings:
            print(f"warning: {line}")
        for line in problems:
            print(f"problem: {line}")
        bad = sum(bool(item.problems) for item in report.runs)
        print(f"{len(report.runs)} runs, {bad} damaged, {len(problems)} problems")
    return DataError.code if problems else 0
