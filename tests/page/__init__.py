"""The report's page, in a real browser without a window, where there is one."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
WITHOUT_BROWSER = "the report's page is not tested, which takes Chromium (tests/page)"
