"""Run folders as one self-contained HTML page; numpy only, made from the folder alone."""

from disue.reports.folder import RunRecord, read
from disue.reports.page import report

__all__ = ["RunRecord", "read", "report"]
