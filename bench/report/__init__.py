"""The report: a study folder to tables, figures, a page and a data package; it reads the folder, nothing live."""
