"""Agreement: measured between sets of arrays, explained, summed up, drawn.

PYTEST_DONT_REWRITE: pytest, which has a plugin here, would else warn where this was imported before it started.
"""

from reports.agreement import Agreement, DisagreementError, TensorAgreement, measure
from reports.cases import Cases
from reports.comparison import Change, Comparison, check_comparable, compare, in_a_sentence
from reports.coverage import Coverage, Facts, in_brief
from reports.diagnosis import Suspect, diagnose, most_telling
from reports.documents import DocumentError, read
from reports.evidence import Evidence
from reports.html import minimal_file, write_report
from reports.junit import junit
from reports.report import Report
from reports.summary import Summary, distinct, in_words, sentence

__all__ = [
    "Agreement",
    "Cases",
    "Change",
    "Comparison",
    "Coverage",
    "DisagreementError",
    "DocumentError",
    "Evidence",
    "Facts",
    "Report",
    "Summary",
    "Suspect",
    "TensorAgreement",
    "check_comparable",
    "compare",
    "diagnose",
    "distinct",
    "in_a_sentence",
    "in_brief",
    "in_words",
    "junit",
    "measure",
    "minimal_file",
    "most_telling",
    "read",
    "sentence",
    "write_report",
]
