"""Agreement: measured between sets of arrays, explained, summed up, drawn."""

from reports.agreement import Agreement, DisagreementError, TensorAgreement, measure
from reports.diagnosis import diagnose
from reports.evidence import Evidence
from reports.html import write_report
from reports.summary import Summary, sentence

__all__ = [
    "Agreement",
    "DisagreementError",
    "Evidence",
    "Summary",
    "TensorAgreement",
    "diagnose",
    "measure",
    "sentence",
    "write_report",
]
