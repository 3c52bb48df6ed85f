"""Agreement: measured between sets of arrays, explained, summed up, drawn."""

from reports.agreement import Agreement, DisagreementError, TensorAgreement, measure
from reports.diagnosis import Suspect, diagnose, most_telling
from reports.evidence import Evidence
from reports.html import write_report
from reports.summary import Summary, sentence

__all__ = [
    "Agreement",
    "DisagreementError",
    "Evidence",
    "Summary",
    "Suspect",
    "TensorAgreement",
    "diagnose",
    "measure",
    "most_telling",
    "sentence",
    "write_report",
]
