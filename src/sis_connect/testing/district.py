"""The synthetic district that all sandboxes share: seeded, of any size, moving day by day through school years.

    district = District(students=10_000, seed=1)
    district.move_to(12)
    district.today, len(district.students), district.hard_cases["no_show"]

Day 0 is the first Monday in October, each further day the next weekday; after some 190 of them the year rolls over in July, and
so on. The same arguments and the same day give the same district, however the day was reached.
"""

from __future__ import annotations

from random import Random

from sis_connect.testing.district_calendar import SchoolYear, story_date
from sis_connect.testing.district_classes import open_classes, open_terms
from sis_connect.testing.district_events import advance
from sis_connect.testing.district_hard_cases import plant_classes, plant_staff, plant_students
from sis_connect.testing.district_opening import admit_students, open_catalog, open_schools, staff_offices
from sis_connect.testing.district_state import DistrictState


class District(DistrictState):
    """A district with `students` student records on its first day, former and coming ones among them.

    The hard cases alone are some fifty; a district that is asked to be smaller consists of them.
    """

    def __init__(self, students: int = 10_000, seed: int = 1, school_year: int = 2027) -> None:
        if students < 1:
            raise ValueError("A district has at least one student.")
        self.size, self.seed, self.first_year = students, seed, school_year
        self._open()

    def _open(self) -> None:
        self.day = 0
        super().__init__(SchoolYear(self.first_year), story_date(self.first_year, 0), self._random())
        open_schools(self, self.size)
        open_catalog(self)
        open_terms(self)
        plant_staff(self)
        plant_students(self)
        admit_students(self, self.size)
        staff_offices(self)
        open_classes(self)
        plant_classes(self)

    def _random(self) -> Random:
        return Random(f"{self.seed}:{self.size}:{self.day}")  # noqa: S311 - chance, not secrets

    def move_to(self, day: int) -> None:
        """Let the story go on to a day; to an earlier one by telling it again from the start."""
        if day < 0:
            raise ValueError("The story starts on day 0.")
        if day < self.day:
            self._open()
        while self.day < day:
            self.day += 1
            self.today = story_date(self.first_year, self.day)
            self.random = self._random()
            advance(self)
