"""Writes docs/study-file.md from the schema of the study file: python docs/study_file.py."""

from pathlib import Path

from bench.study.template import page

if __name__ == "__main__":
    Path(__file__).with_name("study-file.md").write_text(page(), encoding="utf-8")
