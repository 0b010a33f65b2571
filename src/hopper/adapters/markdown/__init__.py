"""Local instances: entities in markdown files that people and git edit too, with an index beside them in SQLite.

The files are the truth. The index is a working copy of them, brought up to date when a unit of work begins; the
repositories run SQL on it, and what they changed is written to the files when the unit commits.
"""
