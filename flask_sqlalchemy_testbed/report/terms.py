"""Name the parts of an app as its own code does, for the changes that mend it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.causes import (
    CALLBACK,
    CALLBACK_OF_FUNCTION,
    CALLBACK_OF_LIBRARY,
    LEFT_BY_FACTORY,
    SCOPED_BY_THREAD,
    SESSIONS_STAY_OPEN,
    SHARED_ENGINE,
    TEARDOWN_ORDER,
)
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REMOVED_FIRST = "the line that removes the session before its first use"
IN_PLACE = "in place of the line that makes the engine"


def terms_of(subject: Mapping[str, str], numbers: Mapping[str, int]) -> dict[str, str]:
    """Return the names of an app for `checks.causes.TERMS`; unknown ones are missing or empty.

    Args:
        subject: The places of the app, as the report has them.
        numbers: All causes in the app, by name: the change of one may rename what another uses.
    """
    app, engine = subject.get("app_name") or "app", subject.get("engine_name", "")
    library = LIBRARIES.get(subject.get("library", ""), NO_LIBRARY)
    is_shared = SHARED_ENGINE in numbers and not library.name
    named = f'{app}.extensions["engine"]' if is_shared and not _is_kept(subject, engine) else engine
    place, kept = _kept(subject, engine)
    imported, arguments = subject.get("session_import", ""), subject.get("engine_arguments", "")
    streams, commands = subject.get("unwrapped_streams", ""), subject.get("engine_commands", "")
    creates = subject.get("defines_tables_at", "")
    # Two modules cannot import each other's names while they are imported.
    session, maker = subject.get("session_name", ""), subject.get("session_maker", "")
    is_function = subject.get("session_end", "") == f"{session}().close()"
    callback = CALLBACK_OF_FUNCTION if is_function else CALLBACK
    if library.name:
        callback = CALLBACK_OF_LIBRARY.replace("LIBRARY", library.name)
    is_late = bool(imported and subject.get("session_imports_app"))
    lastly = _lastly(subject.get("session_end", ""))
    made, late = subject.get("app_at", ""), subject.get("removed_late", "")
    removed, why = late, ": the app uses the session before that line"
    if not late and (removed := subject.get("removed_early", "")):
        why = ": Flask does not call it at the end of every app context"
    elif not late and not is_function:
        removed, why = subject.get("teardown_at", ""), ""
    return {
        "APP": app,
        "SESSION": session,
        # As in the call that ends it: a function is called for the session.
        "CURRENT_SESSION": subject.get("session_end", "").rpartition(".")[0] or session,
        "END": subject.get("session_end", ""),
        "IMPORT": "" if is_late else imported and f"{imported}\n\n\n",
        "LASTLY": f"{imported}\n\n        {lastly}" if is_late else lastly,
        "ENGINE": named,
        # Code outside the factory has no variable of the app.
        "CURRENT_ENGINE": named.replace(f"{app}.extensions", "current_app.extensions", 1),
        "DEFINES_TABLES": creates and f" ({creates})",
        "METADATA": subject.get("metadata_name") or "metadata",
        "APPS_ENGINE": subject.get("engine_called_as") or named,
        "ENGINE_USES": _engine_uses(subject, app, engine) if is_shared else "",
        "OTHER_URIS": subject.get("other_uris", ""),
        "OPTIONS": subject.get("session_options", ""),
        "OPTION": _option(library.option, arguments.split(", ")),
        "ARGUMENTS": arguments,
        "MAKER_PLACE": f"In place of the line that makes {maker}" if maker else f"Before {session}()",
        "MAKER": _maker(subject) if is_function else "",
        "CALLBACK": callback,
        "FACTORY": subject.get("session_factory", ""),
        "KEPT_PLACE": place,
        "KEPT": kept,
        "AFTER_ENGINE": library.after_engine.replace("APP", app),
        "COPIED_TO": library.after_engine and f"beside the module that gives the app to {library.name}",
        "MAKES_ENGINE": library.takes_uri,
        "AS_TEXT": library.takes_uri and "\nurl = url.render_as_string(hide_password=False)",
        "LIBRARY": library.name,
        "SESSION_AT": subject.get("session_at", ""),
        "EARLY": subject.get("used_early", ""),
        "TARGET": shlex.quote(subject.get("app", "")),
        "STREAMS": streams and f" ({streams})",
        "OUTSIDE": _outside(subject, is_shared=is_shared),
        "COMMANDS": f" ({commands})" if is_shared and commands else "",
        "AFTER_MAKING": f"Directly after {made}, the line that makes the app" if made else "",
        "IMPORTED": " (imports at the top of the module)" if imported and not is_late else "",
        "LATE": removed and f"Delete the code for it in {removed}{why}.",
        "FIRST": _first(subject, numbers),
    }


def _lastly(end: str) -> str:
    """Return the lines that end the session in a `finally`.

    If the rollback fails, `remove()` leaves the session in the registry.
    """
    session = end.removesuffix(".remove()")
    if session == end:
        return end
    return f"try:\n            {end}\n        finally:\n            {session}.registry.clear()"


def _is_kept(subject: Mapping[str, str], engine: str) -> bool:
    """Return whether the line that makes the engine, and its name there, can stay."""
    return engine.isidentifier() and not subject.get("engine_is_global")


def _kept(subject: Mapping[str, str], engine: str) -> tuple[str, str]:
    """Return where the engine is put into the extensions of the app, and the expression for it."""
    at = f" ({subject['engine_at']})" if subject.get("engine_at") else ""
    place, kept = (
        f"In the factory, {IN_PLACE}{at}",
        "create_engine(...)  # the arguments that it has now",
    )
    if _is_kept(subject, engine):
        place, kept = f"In the factory, after the engine is made{at}", engine
    if function := subject.get("engine_function", ""):
        called = f" ({subject['engine_called_at']})" if subject.get("engine_called_at") else ""
        place = f"Return the engine from {function}(){at}. In the factory, in place of its call{called}"
        kept = f"{function}(...)  # the arguments that it has now"
    deleted, bound = [], subject.get("bound_at", "")
    if bound and (bound != subject.get("engine_at") or _is_kept(subject, engine)):
        deleted.append(f"the line that binds the sessions to an engine ({bound})")
    if removed := subject.get("removed_first", ""):
        deleted.append(f"{REMOVED_FIRST} ({removed})")
    if unused := subject.get("unused_maker_at", ""):
        deleted.append(f"the line that makes the sessionmaker, which nothing uses now ({unused})")
    if names := subject.get("engine_global_at", ""):
        deleted.append(f"the global name {engine} ({names}): the engine is a local variable now")
    return place, "\n".join([kept, *([""] if deleted else []), *(f"# Delete {one}." for one in deleted)])


def _maker(subject: Mapping[str, str]) -> str:
    """Return the line that makes the sessions that a function returns."""
    if maker := subject.get("session_maker", ""):
        return f"{maker} = orm.sessionmaker(class_=AppSession{subject.get('session_options', '')})"
    return (
        f"# In {subject['session_name']}(), in place of the call that makes the session:\n"
        "AppSession(...)  # the arguments that it has now, without the engine"
    )


def _option(words: str, arguments: Iterable[str]) -> str:
    """Return the change that adds an option of the engine; its call may have the argument for options."""
    argument = words.partition("=")[0]
    inner = re.search(r"[{(](.+)[})] to ", words)
    return f"Add {f'{inner[1]} to the {argument} there' if inner and argument in arguments else words}"


def _engine_uses(subject: Mapping[str, str], app: str, engine: str) -> str:
    """Return the replacement of a module's engine that has gone, or is the last app's; may be empty."""
    places = subject.get("engine_uses", "")
    if not engine.isidentifier() or (_is_kept(subject, engine) and not places):
        return ""
    calls = subject.get("engine_calls", "")
    return (
        f' Write {app}.extensions["engine"] in the factory, and current_app.extensions["engine"] elsewhere,'
        f" in place of other uses of {engine}{f' ({places})' if places else ''}. Put calls of such functions"
        f" outside contexts, also those in tests, into a block `with {app}.app_context():`"
        f"{f' ({calls})' if calls else ''}."
    )


def _first(subject: Mapping[str, str], numbers: Mapping[str, int]) -> str:
    """Return the step before a change that has contexts end where the app is made; may be empty."""
    late = subject.get("removed_late", "")
    replacing = _number(numbers, SESSIONS_STAY_OPEN, TEARDOWN_ORDER)
    own = _number(numbers, SHARED_ENGINE, SCOPED_BY_THREAD, LEFT_BY_FACTORY)
    # An earlier change has deleted that code.
    if not late or 0 < replacing < own:
        return ""
    after = subject.get("app_at") or "the line that makes the app"
    later = f"; the change for cause {replacing} replaces it" if replacing else ""
    return f"First move the code that removes the session, in {late}, to directly after {after}{later}. "


def _number(numbers: Mapping[str, int], *causes: str) -> int:
    """Return the number of the first of these causes; 0 if the report has none of them."""
    return min((numbers[one] for one in causes if one in numbers), default=0)


def _outside(subject: Mapping[str, str], *, is_shared: bool) -> str:
    """Return where the app uses the session outside contexts while it is made; may be empty."""
    used = _list(subject.get("used_outside", ""))
    called = subject.get("engine_called_at", "") if is_shared else ""
    # A report of an older version has only the uses.
    uses = dict(zip(used, _list(subject.get("reached_from", "")) or used, strict=False))
    early = [use for use, reached_from in uses.items() if reached_from == called]
    bound = "" if is_shared else subject.get("bound_at", "")
    places = [*filter(None, [bound]), *(use for use in uses if use not in early)]
    block = dict.fromkeys([*filter(None, [bound]), *(uses[use] for use in uses if use not in early)])
    sentences = []
    if places:
        put = f": put {', '.join(block)} into the block" if list(block) != places else ""
        sentences.append(f"The app uses it outside contexts in {', '.join(places)}{put}.")
    if early:
        sentences.append(
            f"Move {', '.join(early)} out of {subject['engine_function']}(), into the block after its call:"
            " before, the app has no engine."
        )
    if (removed := subject.get("removed_first", "")) and not is_shared:
        sentences.append(f"Delete {REMOVED_FIRST} ({removed}).")
    return " ".join(sentences)


def _list(places: str) -> list[str]:
    return places.split(", ") if places else []
