"""Agreement: measured between sets of arrays, explained, summed up, drawn."""

from reports.agreement import Agreement, DisagreementError, TensorAgreement, measure
from reports.diagnosis import Suspect, diagnose, most_telling
from reports.evidence import Evidence
from reports.html import minimal_file, write_report
from reports.summary import Summary, distinct, in_words, sentence

__all__ = [
    "Agreement",
    "DisagreementError",
    "Evidence",
    "Summary",
    "Suspect",
    "TensorAgreement",
    "diagnose",
    "distinct",
    "in_words",
    "measure",
    "minimal_file",
    "most_telling",
    "sentence",
    "write_report",
]
