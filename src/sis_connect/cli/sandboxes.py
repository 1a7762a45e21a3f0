"""`sandbox`: a local server that behaves like a vendor's API."""

from __future__ import annotations

from typing import Annotated

import typer

from sis_connect.cli.integrations import pairs
from sis_connect.cli.invocation import command, invocation_of

Students = Annotated[int, typer.Option(min=1, metavar="N", help="How many students the synthetic district has.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Which district: the same number gives the same one.")]


def register(app: typer.Typer) -> None:
    command(app, "sandbox")(sandbox)


def sandbox(
    context: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="PROVIDER", help="Whose API to serve; see `providers`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="The port on this machine; 0 takes a free one.")] = 0,
    students: Students = 10_000,
    seed: Seed = 1,
    day: Annotated[int, typer.Option(min=0, metavar="N", help="How many school days the district has lived through.")] = 0,
    rate: Annotated[str | None, typer.Option(metavar="N/SECONDS", help="Refuse more requests than these.")] = None,
    latency: Annotated[float, typer.Option(min=0, metavar="MS", help="Wait so long before each answer.")] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="NAME[=VALUE]", help="Misbehave in this way; may be given again.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A switch of this sandbox; may be given again.")
    ] = None,
) -> None:
    """Serve a vendor's API on this machine, until Ctrl-C.

    Behind it is a synthetic district. One line of JSON on stdout says when it is ready, and how to reach it.
    """
    from sis_connect.testing.sandbox import serve_sandbox

    serve_sandbox(
        invocation_of(context).registry().info(provider),
        port=port,
        students=students,
        seed=seed,
        day=day,
        rate=rate,
        latency=latency,
        faults=fault or [],
        settings=pairs(settings),
    )
