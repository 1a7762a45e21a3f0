"""The stays of a student, found by the student: a column that the database computes, and its index, where stays are kept.

Without it, telling a transfer from a return would mean to look through all stays of the district.
"""

from __future__ import annotations

from sqlalchemy import Column, Computed, Index, Text, text

from sis_connect.store.tables import mappings, staged

_mapping = mappings["school_enrollments"]
_mapping.append_column(Column("student", Text, Computed("json_extract(base_sis, '$.student')", persisted=False)))
staged.append_column(Column("student", Text, Computed("json_extract(NULLIF(document, ''), '$.student')", persisted=False)))

_STAYS = text("kind = 'school_enrollments'")
Index("ix_sis_school_enrollment_mapping_student", _mapping.c.integration_id, _mapping.c.student)
Index("ix_sis_staged_student", staged.c.integration_id, staged.c.student, sqlite_where=_STAYS, postgresql_where=_STAYS)

#: The mapped stays `m` of the students `j.value`. The database would rather look through all of them than use a second index of a
#: table that is ordered by its key, so it is told.
OF_STUDENTS = (
    "sis_school_enrollment_mapping m INDEXED BY ix_sis_school_enrollment_mapping_student "
    "ON m.integration_id = ? AND m.student = j.value"
)
