"""What an integration is told: typed settings, and the one place that reads TOML and the environment."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError, model_validator

from sis_connect.calendar_settings import GuardProfiles, Pauses
from sis_connect.capabilities import Kind
from sis_connect.custom_fields import CustomFields, of_kind
from sis_connect.errors import ConfigurationError
from sis_connect.hosting import policy
from sis_connect.hosting.policy import PluginPolicy
from sis_connect.oauth.client import ClientAuthentication, SignatureMethod, TokenMethod
from sis_connect.setting_types import BaseUrl, ExactUrl, Names, Parameters, RateLimit, WebhookSecret, known_zone, query_apart

#: `sis_wins`, `local_wins`, `newest_wins`, `manual`, or one that a plugin brings.
Strategy = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Owner = Literal["shared", "sis", "local"]
GrantName = Literal["client_credentials", "password", "authorization_code", "oauth1", "basic", "api_key", "none"]


class FieldPolicy(BaseModel):
    """Who decides about one field: a strategy for conflicts, and an owner who is always right."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: Strategy | None = None
    owner: Owner = "shared"


class SISProviderConfig(BaseModel):
    """The settings of one integration. What is `None` is the provider's default.

    `rate_limit` is (requests, seconds) or `off`. `timeout` is seconds for one answer, `budget` seconds for one request with
    all its attempts. `concurrency` is how many requests may be under way at once, `pool` how many connections are kept.
    `batch_size` is how many records go to a host app's target at once. `school_year` is the year it ends in. `fields` names
    on-request fields to read and keep, such as `birth_date` or `students.gender`, and `custom` declares the district's own,
    such as `students.bus_route:text` (see `custom_fields`). `absence_grace` is hours, as is `full_every`:
    where the SIS can list changes only, everything is read again after so long, and with 0 each time. `policies` holds field
    policies by `kind.field`. `options` are the provider's own keys.

    `guard_profiles` are days on which the guards have other limits, `pauses` days on which nobody is removed without a person's
    consent. `coverage` says what is to be done where a school loses its teachers or its classes: `warn`, or `hold` what does it.

    `grant` is how access is had. `former_client_secret` is tried where the newest is refused, while the district changes it.
    `username` and `password` are for the grant `password`, by default client id and secret. `scope` is what to ask for, names
    with spaces between them. `client_authentication` is where id and secret go, `token_method` where the rest goes,
    `token_parameters` what else belongs into the query of the token URL; what `token_url` has there joins them. With the grant
    `oauth1` each request is signed by `signature_method`. `authorize_url`, `issuer` and `revocation_url` are those of the SIS,
    where the provider cannot know them. A token is renewed `renew_before` seconds before its end, or when a quarter of its life
    is left. `webhook_secret` is what those must have who send us word of changes; two of them, with a comma, while it is changed.

    `guards`, `listeners` and `target` choose what plugins bring (see `hookspecs`), such as `harbor:quiet_days`.

    `match_email` lets an e-mail address tell whom of an app's own people a new record is: not where families share one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    provider: str
    base_url: BaseUrl
    token_url: ExactUrl | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    former_client_secret: SecretStr | None = None

    grant: GrantName | None = None
    username: str | None = None
    password: SecretStr | None = None
    webhook_secret: WebhookSecret | None = None
    scope: str | None = None
    client_authentication: ClientAuthentication | None = None
    token_method: TokenMethod | None = None
    token_parameters: Parameters = Field(default_factory=dict)
    signature_method: SignatureMethod = "HMAC-SHA256"
    authorize_url: ExactUrl | None = None
    issuer: ExactUrl | None = None
    revocation_url: ExactUrl | None = None
    renew_before: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 600.0

    rate_limit: RateLimit = None
    page_size: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, Field(gt=0)] = 30.0
    budget: Annotated[float, Field(gt=0)] = 300.0
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    pool: Annotated[int, Field(ge=1, le=256)] = 8
    batch_size: Annotated[int, Field(ge=1, le=10_000)] = 200
    max_attempts: Annotated[int, Field(ge=1, le=3)] = 3
    time_zone: Annotated[str | None, AfterValidator(known_zone)] = None
    school_year: Annotated[int, Field(ge=1990, le=2200)] | None = None
    schools: Names = ()
    fields: Names = ()
    custom: CustomFields = ()
    strategy: Strategy = "sis_wins"
    policies: dict[str, FieldPolicy] = Field(default_factory=dict)
    guard_profiles: GuardProfiles = ()
    pauses: Pauses = ()
    coverage: Literal["warn", "hold"] = "warn"
    guards: Names = ()
    listeners: Names = ()
    target: str | None = None
    match_email: bool = False
    absence_grace: Annotated[float, Field(ge=0)] = 12.0
    full_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    options: dict[str, str] = Field(default_factory=dict)

    _query_apart = model_validator(mode="before")(query_apart)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("settings with their secrets are not pickled: hand on the integration's name, or where its secrets are")

    def asked(self, kind: Kind) -> frozenset[str]:
        """The on-request fields that this integration asks for."""
        names = (name.rpartition(".") for name in self.fields)
        asked = frozenset(field for owner, _, field in names if owner in ("", kind))
        return asked | {"custom"} if of_kind(self.custom, kind) else asked


#: Settings that are secrets: never on a command line, never stored among the others.
SECRET_KEYS = frozenset(("client_secret", "former_client_secret", "password", "webhook_secret"))
#: Secrets that go nowhere: who sends us something shows that they have them.
KEPT_HERE = frozenset(("webhook_secret",))
#: Settings that say where secrets and tokens go.
ADDRESS_KEYS = ("base_url", "token_url", "authorize_url", "issuer", "revocation_url")
#: Settings that every provider shares, and that `--set` and the environment may give.
COMMON_KEYS = frozenset(SISProviderConfig.model_fields) - {"provider", "options", "policies"} - SECRET_KEYS


def validated(values: Mapping[str, Any], *, origin: str) -> SISProviderConfig:
    """Build settings, or say in one sentence which are wrong. Keys that are not common ones are the provider's own."""
    known = {key: value for key, value in values.items() if key in SISProviderConfig.model_fields}
    own = {key: str(value) for key, value in values.items() if key not in SISProviderConfig.model_fields}
    known["options"] = {**dict(known.get("options", {})), **own}
    try:
        return SISProviderConfig.model_validate(known)
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(str(part) for part in fault["loc"]), _plain(fault["msg"]))))
            for fault in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise ConfigurationError(
            f"The settings in {origin} cannot be used: {faults}.", remedy="Correct them and try again."
        ) from None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")


class SISConfigManager:
    """Settings from a TOML file and the environment: argument over `SIS_CONNECT_<NAME>_<KEY>` over what is stored.

    The file holds one table per integration:

        [lincoln]
        provider = "…"
        base_url = "https://sis.example.org"
        client_id = "…"
        client_secret_file = "lincoln.secret"

    The table `[plugins]` is no integration: it says which plugins may be used (`blocked`, `allowed`).
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def load(self, path: str | Path) -> dict[str, SISProviderConfig]:
        """Read all integrations that a TOML file declares."""
        path = Path(path)
        document = _document(path)
        configs = {}
        for name, table in document.items():
            if name == policy.TABLE:
                policy.policy_in_table(table, origin=f"{path}, [{name}]")
                continue
            if not isinstance(table, dict):
                raise ConfigurationError(
                    f"{path} has {name!r} outside any integration.", remedy=f"Put it under a table such as [{name}]."
                )
            values = dict(table)
            for key in SECRET_KEYS:
                secret_file = values.pop(f"{key}_file", None)
                if secret_file is not None:
                    values[key] = read_secret(path.parent / str(secret_file))
            configs[name] = self.resolve(name, values, origin=f"{path}, [{name}]")
        return configs

    def plugins(self, path: str | Path) -> PluginPolicy:
        """Which plugins a TOML file lets be used, in its table `[plugins]`: all of them, where there is no such file or table."""
        path = Path(path)
        table = _document(path).get(policy.TABLE) if path.exists() else None
        return PluginPolicy() if table is None else policy.policy_in_table(table, origin=f"{path}, [{policy.TABLE}]")

    def resolve(
        self,
        name: str,
        stored: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        *,
        secrets: Mapping[str, SecretStr] | None = None,
        origin: str = "the store",
    ) -> SISProviderConfig:
        """Put arguments over the environment over what is stored, and validate the outcome. `secrets` are what is stored sealed.

        Of the environment, the common keys are taken, and those of the provider's own that are stored.
        """
        known = COMMON_KEYS | SECRET_KEYS | stored.keys() | dict(stored.get("options", {})).keys()
        given = self._from_environment(name, known=known)
        values = {**stored, **_for_this_address(secrets or {}, stored, given), **given, **(overrides or {})}
        return validated(values, origin=origin)

    def one(self, name: str, key: str, stored: Mapping[str, Any]) -> Any:
        """A single setting of an integration, as the environment says or as it is stored. It is not validated."""
        return self._from_environment(name, known=(key,)).get(key, stored.get(key))

    def _from_environment(self, name: str, *, known: Collection[str]) -> dict[str, str]:
        # Only keys that mean something: the variables of `lincoln_high` begin like those of `lincoln`, too.
        prefix = "SIS_CONNECT_" + re.sub(r"[^A-Z0-9]", "_", name.upper()) + "_"
        given = {key.removeprefix(prefix).lower(): value for key, value in self._environment.items() if key.startswith(prefix)}
        return {key: value for key, value in given.items() if key in known}


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {path}.", remedy="Name the file that declares the integrations.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error


def _for_this_address(
    secrets: Mapping[str, SecretStr], stored: Mapping[str, Any], given: Mapping[str, str]
) -> Mapping[str, SecretStr]:
    """Sealed secrets, unless the environment gives another address than the one that they were stored for (promise P8)."""
    moved = [key for key in ADDRESS_KEYS if key in given and _bare(given[key]) != _bare(stored.get(key) or "")]
    if not moved:
        return secrets
    # A former secret goes nowhere new: the one in the environment stands alone.
    kept = sorted(secrets.keys() - given.keys() - {"former_client_secret"} - KEPT_HERE)
    if kept:
        raise ConfigurationError(
            f"The environment gives another {moved[0]} than the one for which the {kept[0]} of this integration is stored.",
            remedy=f"Unset that variable, give {kept[0]} in the environment too, or store the new address with its secret.",
        )
    return {name: value for name, value in secrets.items() if name in KEPT_HERE}


def _bare(address: str) -> str:
    # The query of a token URL is kept apart, among the token parameters.
    return address.strip().partition("?")[0].rstrip("/")


def read_secret(path: str | Path) -> SecretStr:
    """A secret from a file, without the line break at its end."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The secret file {path} cannot be read ({type(error).__name__}).", remedy="Check its path and permissions."
        ) from error
    if not text:
        raise ConfigurationError(f"The secret file {path} is empty.", remedy="Put the client secret into it.")
    return SecretStr(text)


def key_in_environment(environment: Mapping[str, str] | None = None) -> str | None:
    """The keys that seal secrets, from `SIS_CONNECT_KEY`."""
    return (os.environ if environment is None else environment).get("SIS_CONNECT_KEY") or None


def key_file_in_environment(environment: Mapping[str, str] | None = None) -> str | None:
    """The file with the keys that seal secrets, from `SIS_CONNECT_KEY_FILE`."""
    return (os.environ if environment is None else environment).get("SIS_CONNECT_KEY_FILE") or None


def key_source_in_environment(environment: Mapping[str, str] | None = None) -> str | None:
    """Where else the keys that seal secrets are kept, from `SIS_CONNECT_KEY_SOURCE`: `keyring`, or a source of a plugin."""
    return (os.environ if environment is None else environment).get("SIS_CONNECT_KEY_SOURCE") or None


def database_in_environment(environment: Mapping[str, str] | None = None) -> str | None:
    """The database, from `SIS_CONNECT_DATABASE_URL`."""
    return (os.environ if environment is None else environment).get("SIS_CONNECT_DATABASE_URL") or None


def retention_in_environment(environment: Mapping[str, str] | None = None) -> float | None:
    """For how many days events are kept, from `SIS_CONNECT_RETENTION_DAYS`."""
    text = (os.environ if environment is None else environment).get("SIS_CONNECT_RETENTION_DAYS")
    if not text:
        return None
    with suppress(ValueError):
        if 0 < float(text) < 100_000:
            return float(text)
    raise ConfigurationError(
        f"SIS_CONNECT_RETENTION_DAYS is {text!r}, which is no number of days.", remedy="Give it as in 90, or unset it."
    )


def today_in_environment(environment: Mapping[str, str] | None = None) -> date | None:
    """The school date, from `SIS_CONNECT_TODAY`, as YYYY-MM-DD."""
    text = (os.environ if environment is None else environment).get("SIS_CONNECT_TODAY")
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"SIS_CONNECT_TODAY is {text!r}, which is no date.", remedy="Give it as YYYY-MM-DD, or unset it."
        ) from None
