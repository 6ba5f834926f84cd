"""How much work a call is, in calls of functions: the same number on a busy machine and on an idle one."""

import cProfile


def calls(function, *arguments):
    """The calls of Python and C functions that one call makes."""
    profile = cProfile.Profile()
    profile.runcall(function, *arguments)
    return sum(entry.callcount for entry in profile.getstats())
