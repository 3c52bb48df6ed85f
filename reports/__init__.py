"""Agreement: measured between sets of arrays, explained, summed up, drawn.

PYTEST_DONT_REWRITE: pytest, which has a plugin here, would else warn where this was imported before it started.
"""

from reports.agreement import Agreement, DisagreementError, TensorAgreement, measure
from reports.coverage import Coverage, Facts, in_brief
from reports.diagnosis import Suspect, diagnose, most_telling
from reports.evidence import Evidence
from reports.html import minimal_file, write_report
from reports.summary import Summary, distinct, in_words, sentence

__all__ = [
    "Agreement",
    "Coverage",
    "DisagreementError",
    "Evidence",
    "Facts",
    "Summary",
    "Suspect",
    "TensorAgreement",
    "diagnose",
    "distinct",
    "in_brief",
    "in_words",
    "measure",
    "minimal_file",
    "most_telling",
    "sentence",
    "write_report",
]
