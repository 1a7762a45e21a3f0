"""The settings of the OneRoster sandbox: each is something that the standard leaves open, or that some real server does.

`version` (1.2, or 1.1), `end_dates` (`exclusive`, or `inclusive`), `auth` (`oauth2`, or `oauth1` with `signature_method`).

Access: `token_life` in seconds, `expired` (status for a token that has ended), `credentials` (the one way in which they may
come), `scope` (`optional`, `required`, `refused`), `demographics` (`shared`, or `withheld`: its scope is never given).

Lists: `page_size` (where no limit is asked for), `cap` (rows a page at most), `over_cap` (`clamp` or `reject`), `totals` (where
they are), `links` (how they look), `last_link` (whether its limit shrinks to what is left), `ignored` (parameters nobody looks
at, such as `filter,offset`), `unknown_sort`, `empty_filter`, `contains` (whether `~` minds case), `single_query` (what becomes
of `limit` on a single object), `selection` (whether `fields` always brings the sourcedId), `empty_page`, `not_offered`
(collections such as `terms`, or paths such as `schools/*/courses`), `duplicates` (rows there twice), `endless` (the list begins
again after its end), `semesters` (whether `/terms` has them), `nested` (which enrolments count for the people of a class and
the classes of a person, whose rows do not show it: the `active`, or `all`), `errors` (the shape of 1.1's), `warnings`,
`perm_rev` (`X-Perm-Rev`, which changes with the day).

Rows: `deleted` (`listed` as tobedeleted for a year, or `purged`), `dangling` (`listed`: enrolments of nobody), `invalid` (share
of students without a family name), and how things are written: `booleans`, `grades`, `keys` (by class or subtype), `one_item` (a
list, or the object itself), `nulls`, `padded` (blanks around referenced ids), `references`, `terms_key`, `roles`, `modified`,
`dates`, `school_year`, `hrefs`, `metadata`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sis_connect.errors import ConfigurationError
from sis_connect.testing.sandbox_app import DECIMAL, POSITIVE

#: The values of each setting, the usual one first.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "version": ("1.2", "1.1"),
    "end_dates": ("exclusive", "inclusive"),
    "auth": ("oauth2", "oauth1"),
    "signature_method": ("HMAC-SHA256", "HMAC-SHA1"),
    "expired": ("401", "403"),
    "credentials": ("any", "basic", "body", "query"),
    "scope": ("optional", "required", "refused"),
    "demographics": ("shared", "withheld"),
    "over_cap": ("clamp", "reject"),
    "totals": ("header", "x_count", "body", "none"),
    "links": ("absolute", "relative", "none", "loop", "one_based", "unbracketed", "unquoted"),
    "last_link": ("whole", "remainder"),
    "unknown_sort": ("ignore", "reject"),
    "empty_filter": ("accept", "reject"),
    "contains": ("ignore_case", "exact"),
    "single_query": ("ignore", "reject"),
    "selection": ("exact", "with_id"),
    "empty_page": ("list", "404"),
    "duplicates": ("off", "on"),
    "endless": ("off", "on"),
    "semesters": ("in_terms", "apart"),
    "nested": ("active", "all"),
    "errors": ("standard", "list", "object", "flat", "html"),
    "warnings": ("off", "on"),
    "perm_rev": ("off", "on"),
    "deleted": ("listed", "purged"),
    "dangling": ("hidden", "listed"),
    "booleans": ("text", "json", "number", "capital"),
    "grades": ("list", "text", "number", "blank"),
    "keys": ("class", "subtype"),
    "one_item": ("list", "object"),
    "nulls": ("omitted", "sent"),
    "padded": ("off", "on"),
    "references": ("object", "list", "id"),
    "terms_key": ("terms", "term"),
    "roles": ("plain", "upper", "missing"),
    "modified": ("full", "no_zone", "no_fraction", "now", "future"),
    "dates": ("date", "datetime"),
    "school_year": ("text", "number"),
    "hrefs": ("absolute", "relative", "elsewhere"),
    "metadata": ("off", "on"),
}
SETTINGS: Mapping[str, str] = {
    **{name: values[0] for name, values in CHOICES.items()},
    "token_life": "3600",
    "page_size": "100",
    "cap": "10000",
    "ignored": "",
    "not_offered": "",
    "invalid": "0",
}
PARAMETERS = ("limit", "offset", "sort", "orderBy", "filter", "fields")
NUMBERS = {"token_life": DECIMAL, "page_size": POSITIVE, "cap": POSITIVE, "invalid": DECIMAL}


def check(key: str, value: str) -> None:
    """Refuse names that are none, in settings that are lists of names."""
    if key == "ignored" and not listed(value) <= set(PARAMETERS):
        raise ConfigurationError(f"The setting {key!r} cannot be {value!r}.", remedy=f"Name some of {', '.join(PARAMETERS)}.")


def listed(value: str) -> set[str]:
    """The names in a comma-separated setting."""
    return {name.strip() for name in value.split(",") if name.strip()}
