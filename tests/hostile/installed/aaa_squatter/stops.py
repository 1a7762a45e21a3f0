"""Raises what nobody catches."""


class Stop(BaseException):
    pass


raise Stop("so there")
