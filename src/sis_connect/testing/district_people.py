"""Making students and staff of the synthetic district."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from sis_connect.testing.district_names import FAMILY, GIVEN, STREETS, plain
from sis_connect.testing.district_records import STUDENT_NUMBER, Affiliation, Staff, Student, identifier
from sis_connect.testing.district_state import DistrictState

CITIES = (("Anytown", "85001"), ("Mesa Flats", "85250"), ("Old Harbor", "01234"))
RACES = ("WH", "BL", "AS", "NA", "PI")


def student_number(serial: int) -> str:
    """Five digits and more, and never an id of another column."""
    return str(identifier(STUDENT_NUMBER, serial, floor=400))


def add_student(state: DistrictState, grade: int, **details: Any) -> Student:
    """A student who is nowhere yet: pre-registered, without a stint. `details` override what chance would give."""
    random = state.random
    serial = state.next_serial(Student)
    given, middle, family = random.choice(GIVEN), random.choice(GIVEN) if random.random() < 0.6 else "", random.choice(FAMILY)
    username = f"{plain(given)[0]}{plain(family)}{serial}"
    city, postal_code = random.choice(CITIES)
    street = f"{random.randrange(1, 400)} {random.choice(STREETS)} St"
    mother, father = f"{family}, {random.choice(GIVEN)}", f"{family}, {random.choice(GIVEN)}"
    phone = _phone(random.randrange(10_000_000))
    values: dict[str, Any] = {
        "serial": serial,
        "number": student_number(serial),
        "state_id": str(9_900_000_007 + 50 * serial),
        "username": username,
        "given": given,
        "middle": middle,
        "family": family,
        "preferred": "",
        "birth_date": date(state.year.year - 6 - grade, 1, 1) + timedelta(days=random.randrange(365)),
        "gender": random.choice("FM"),
        "email": f"{username}@students.example.org",
        "phone": phone,
        "street": street,
        "mailing_street": street if random.random() < 0.9 else f"PO Box {random.randrange(1, 900)}",
        "city": city,
        "postal_code": postal_code,
        "ethnicity": "YES" if random.random() < 0.25 else "NO",
        "races": tuple(sorted(random.sample(RACES, 2 if random.random() < 0.1 else 1))),
        "mother": mother if random.random() < 0.9 else "",
        "father": father if random.random() < 0.8 else "",
        "guardian_email": f"family{serial}@example.org" if random.random() < 0.85 else "",
        "emergency_name": mother,
        "emergency_phone": phone,
        "status": "pre_registered",
        "school": None,
        "grade": grade,
        "stint": None,
    }
    return state.put(Student(**{**values, **details}))


def _phone(digits: int) -> str:
    """Two in three with dashes, the others bare digits, as offices type them."""
    area, local = divmod(digits, 10_000)
    return f"602{area:03d}{local:04d}" if digits % 3 == 0 else f"602-{area:03d}-{local:04d}"


def add_staff(state: DistrictState, school: int | None, *, teacher: bool = True, **details: Any) -> Affiliation:
    """A human who works at one school, or at the district office."""
    random = state.random
    serial = state.next_serial(Staff)
    given, family = random.choice(GIVEN), random.choice(FAMILY)
    username = f"{plain(given)[0]}{plain(family)}{serial}"
    values: dict[str, Any] = {
        "serial": serial,
        "number": f"T{serial:04d}",
        "given": given,
        "middle": "",
        "family": family,
        "username": username,
        "email": f"{username}@example.org",
        "phone": _phone(random.randrange(10_000_000)),
    }
    state.put(Staff(**{**values, **details}))
    return affiliate(state, serial, school, teacher=teacher)


def affiliate(state: DistrictState, staff: int, school: int | None, *, teacher: bool = True) -> Affiliation:
    """Somebody starts to work at a (further) school."""
    affiliation = state.put(Affiliation(state.next_serial(Affiliation), staff, school, teacher))
    if teacher and school is not None:
        state.teachers_of[school].append(affiliation.serial)
    return affiliation
