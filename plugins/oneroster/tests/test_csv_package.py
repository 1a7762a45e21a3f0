"""Which packages are refused, and why, in one clear sentence that tells nothing of what is in them."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oneroster_exports import ADA, BEN, SCHOOL, changed, export, manifest, text, zipped
from sis_connect import table_files
from sis_connect.errors import UnexpectedResponse
from sis_connect_oneroster import csv_package
from sis_connect_oneroster.csv_package import Package, unpacked

USER_MEMBERS = frozenset(
    ("sourcedId", "givenName", "preferredFirstName", "userIds", "grades", "orgs", "primaryOrg", "role", "status")
)


def opened(files: object) -> Package:
    return csv_package.zipped(io.BytesIO(files if isinstance(files, bytes) else zipped(files)))  # type: ignore[arg-type]


def refusal(files: object) -> str:
    with pytest.raises(UnexpectedResponse) as caught:
        list(rows(opened(files)))
    assert caught.value.remedy
    assert "Example" not in str(caught.value)
    return caught.value.message


def rows(package: Package, name: str = "users") -> Iterator[dict[str, object]]:
    return package.rows(name, USER_MEMBERS, ())


# -- what is said ------------------------------------------------------------------------------------------------------


def test_the_manifest_says_what_is_in_it() -> None:
    package = opened(export("1.1"))
    assert (package.version, set(package.modes.values())) == ("1.1", {"bulk"})
    assert set(package.modes) == {"orgs", "academicSessions", "courses", "classes", "users", "enrollments"}


def test_without_a_manifest_it_is_of_version_1_0_and_its_files_say_the_rest() -> None:
    files = {"orgs.csv": text("orgs", SCHOOL), "courses.csv": text("courses", changed({"sourcedId": "k", "title": "Any"}))}
    package = opened(files)
    assert (package.version, package.modes) == ("1.0", {"orgs": "bulk", "courses": "delta"})


@pytest.mark.parametrize(
    ("said", "row", "mode"),
    [
        ("bulk", SCHOOL, "bulk"),
        ("delta", changed(SCHOOL), "delta"),
        ("bulk", changed(SCHOOL), "delta"),
        ("delta", SCHOOL, "bulk"),
        ("absent", SCHOOL, "bulk"),
        ("delta", {**SCHOOL, "status": "active"}, "delta"),
        ("bulk", {**SCHOOL, "status": "active"}, "bulk"),
    ],
)
def test_where_the_manifest_and_a_file_contradict_each_other_the_file_is_right(said: str, row: dict[str, str], mode: str) -> None:
    assert opened({"manifest.csv": manifest("1.1", orgs=said), "orgs.csv": text("orgs", row)}).modes == {"orgs": mode}


def test_files_of_other_services_do_not_matter() -> None:
    assert "results" not in opened({**export(), "results.csv": "anything", "readme.txt": ""}).modes


def test_a_folder_is_a_package_too(tmp_path: Path) -> None:
    for name, content in export("1.1").items():
        (tmp_path / name).write_text(str(content), encoding="utf-8")
    assert [row["sourcedId"] for row in rows(unpacked(tmp_path))] == ["u-1", "u-2"]


# -- rows --------------------------------------------------------------------------------------------------------------


def test_rows_are_the_objects_of_the_rest_interface() -> None:
    row = {
        **ADA, "userIds": "{stateId:0077},{Fed:a b}", "preferredGivenName": "Addie", "primaryOrgSourcedId": "s-1",
        "password": "never-kept",
    }  # fmt: skip
    package = opened(export(users=text("users", row)))
    assert list(rows(package)) == [
        {
            "sourcedId": "u-1",
            "givenName": "Ada",
            "preferredFirstName": "Addie",
            "primaryOrg": "s-1",
            "userIds": [{"type": "stateId", "identifier": "0077"}, {"type": "Fed", "identifier": "a b"}],
            "grades": ["09", "10"],
        }
    ]


def test_lists_of_ids_are_cut_at_their_commas() -> None:
    first, second = rows(opened(export("1.1")))
    assert (first["orgs"], second["orgs"]) == (["s-1"], ["s-1", "s-2"])


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    files = export()
    files["users.csv"] = b"\xef\xbb\xbf" + str(files["users.csv"]).encode()
    assert next(rows(opened(files)))["sourcedId"] == "u-1"


def test_declared_metadata_is_read_and_no_other() -> None:
    row = {**ADA, "metadata.building": "B", "metadata.secret": "never-kept"}
    package = opened(export(users=text("users", row, extra=",metadata.building,metadata.secret")))
    (read,) = package.rows("users", USER_MEMBERS, ("building",))
    assert read["metadata"] == {"building": "B"}


def test_columns_may_stand_in_another_order() -> None:
    assert next(rows(opened(export(users="familyName,givenName,sourcedId,grades\nExample,Ada,u-1,09\n"))))["givenName"] == "Ada"


@pytest.mark.parametrize("line", ["u-1,Ada", "u-1,Ada,Example,09,more"])
def test_p2_of_a_row_with_too_few_or_too_many_cells_only_the_id_is_believed(line: str) -> None:
    package = opened(export(users=f"sourcedId,givenName,familyName,grades\n{line}\nu-2,Ben,Example,\n"))
    assert list(rows(package)) == [{"sourcedId": "u-1"}, {"sourcedId": "u-2", "givenName": "Ben", "grades": []}]


def test_names_may_hold_commas_quotes_and_any_script() -> None:
    name = 'Zoë, "Z" عائشة'
    assert next(rows(opened(export(users=text("users", {**ADA, "givenName": name})))))["givenName"] == name


# -- refused -----------------------------------------------------------------------------------------------------------


def test_what_is_no_zip_is_refused() -> None:
    assert "no zip" in refusal(b"<html>maintenance</html>")
    assert "no zip" in refusal(zipped(export())[:-40])


def test_a_zip_with_a_damaged_file_is_refused() -> None:
    whole = bytearray(
        zipped({"users.csv": text("users 1.1", *({**BEN, "role": "student", "sourcedId": str(n)} for n in range(500)))})
    )
    whole[len(whole) // 2] ^= 0xFF
    assert "users.csv" in refusal(bytes(whole))


@pytest.mark.parametrize("name", ["../users.csv", "/etc/users.csv", "export/users.csv", "..\\users.csv", "a/../../users.csv"])
def test_p7_files_in_folders_are_refused_whatever_they_are_called(name: str) -> None:
    assert "folders" in refusal({**export(), name: "x"})


def test_a_file_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        files = zipped([*export().items(), ("users.csv", text("users", ADA))])
    assert "twice" in refusal(files)


def test_a_protected_zip_is_refused() -> None:
    whole = bytearray(zipped(export()))
    at = whole.rindex(b"PK\x01\x02")
    struct.pack_into("<H", whole, at + 8, 1)
    assert "password" in refusal(bytes(whole))


def test_a_zip_that_would_unpack_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MAX_BYTES", 2**20)
    assert "unpack" in refusal({**export(), "results.csv": "0" * 2**21})


def test_a_line_without_end_is_refused() -> None:
    assert "users.csv" in refusal(export(users="sourcedId,givenName,familyName\n" + "0" * (2**21)))
    assert "users.csv" in refusal(export(users='sourcedId,givenName,familyName\n"' + "0\n" * (2**19)))


def test_a_package_without_any_roster_file_is_refused() -> None:
    assert "none of the files" in refusal({"readme.txt": ""})


def test_a_file_that_the_manifest_announces_and_that_is_not_there_is_named() -> None:
    assert "users.csv" in refusal({"manifest.csv": manifest("1.2", orgs="bulk", users="bulk"), "orgs.csv": text("orgs", SCHOOL)})


def test_users_without_roles_are_refused_since_nobody_knows_who_is_a_student() -> None:
    assert "roles.csv" in refusal(export(roles=None))


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("sourcedId,givenname,familyName", "givenName"),
        ("SourcedId,givenName,familyName", "sourcedId"),
        ("u-1,Ada,Example", "sourcedId"),
        ("sourcedId,givenName,familyName,givenName", "twice"),
        ("", "sourcedId"),
    ],
)
def test_a_wrong_header_is_named_by_what_is_missing_and_not_by_what_is_there(header: str, named: str) -> None:
    message = refusal(export(users=f"{header}\nu-1,Ada,Example\n"))
    assert named in message
    assert "users.csv" in message


def test_the_case_of_a_file_name_counts() -> None:
    assert "orgs.csv" in refusal({"Orgs.csv": text("orgs", SCHOOL), "courses.csv": text("courses")})


def test_another_encoding_is_named() -> None:
    assert "UTF-8" in refusal({**export(), "users.csv": str(export()["users.csv"]).replace("Ada", "Zoë").encode("latin-1")})


def test_quotes_that_do_not_match_are_named() -> None:
    assert "users.csv" in refusal(export(users='sourcedId,givenName,familyName\nu-1,"Ada" B,Example\n'))


def test_unknown_compression_is_named() -> None:
    whole = bytearray(zipped(export()))
    for mark, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = whole.find(mark)
        while at >= 0:
            struct.pack_into("<H", whole, at + place, 99)
            at = whole.find(mark, at + 1)
    assert zipfile.is_zipfile(io.BytesIO(bytes(whole)))
    assert "cannot be unpacked" in refusal(bytes(whole))
