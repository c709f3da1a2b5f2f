"""Import the app's module, and list the calls of its factory."""

from __future__ import annotations

import ast
import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import file_of, import_module
from flask_sqlalchemy_testbed.subject.errors import SubjectError
from flask_sqlalchemy_testbed.subject.factories import FOR_THE_TESTBED, factory_calls
from flask_sqlalchemy_testbed.subject.guard import guarded_start
from flask_sqlalchemy_testbed.subject.metadata import find_metadata
from flask_sqlalchemy_testbed.subject.process_state import Arguments, Environment
from flask_sqlalchemy_testbed.subject.source import parsed
from flask_sqlalchemy_testbed.subject.start_up import in_this_process

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.subject.discovery import Place
    from flask_sqlalchemy_testbed.subject.factories import FactoryCall
    from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
    from flask_sqlalchemy_testbed.subject.subject import Subject


def import_app(
    subject: Subject, place: Place, modules: ProjectModules, uri: str
) -> tuple[Subject, list[FactoryCall]]:
    """Import the app's module, with the URI in the environment if the subject says so.

    Args:
        subject: The subject as far as it is known.
        place: The place of the app.
        modules: The modules of the project; if they were removed, the import is their second one.
        uri: An empty database of the run.

    Returns:
        The subject with the complete path of the app, and the calls to try.

    Raises:
        SubjectError: The import raised, or there is no app in the module.
    """
    environment, arguments = Environment(), Arguments(place.module)
    arguments.set()
    try:
        if subject.by_environment:
            environment.set(subject.environment(uri, {}, environment))
        with guarded_start(str(subject), uri):
            try:
                with in_this_process(str(subject)):
                    import_module(place.module, str(subject))
            except SubjectError as error:
                modules.restore(error)
                raise
            return _inspect(subject, place, modules)
    finally:
        environment.restore()
        arguments.restore()


def is_written_for_the_testbed(place: Place) -> bool:
    """Return whether the source shows a function whose only required parameter is the URI.

    Args:
        place: The place of the app; its module is not imported.
    """
    file = file_of(place.module)
    # The import says what is wrong with a file that cannot be parsed.
    tree = parsed(file) if place.attribute and file.endswith(".py") else None
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == place.attribute:
            positional = [*node.args.posonlyargs, *node.args.args]
            required = positional[: len(positional) - len(node.args.defaults)]
            keywords = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            required += [one for one, default in keywords if default is None]
            return [one.arg for one in required] == [FOR_THE_TESTBED]
    return False


def _inspect(subject: Subject, place: Place, modules: ProjectModules) -> tuple[Subject, list[FactoryCall]]:
    how = place.found or ("" if place.attribute else f"in {place.module}")
    place = place if place.attribute else place.with_attribute()
    subject = replace(subject, app_path=str(place), notes=(f"found {how}",) if how else ())
    found = modules.find(place.path, flag("app"))
    if not callable(found):
        message = f"{subject} is neither a factory nor an app: it cannot be called."
        raise SubjectError(message)
    modules.add_root(_module_of(found))
    if subject.metadata_path:
        find_metadata(subject.metadata_path)
    return subject, list(factory_calls(found, place.arguments, environment=bool(subject.uri_env)))


def _module_of(found: Any) -> str:
    """Return the module in which a factory is defined; empty for other objects."""
    return found.__module__ or "" if inspect.isroutine(found) or inspect.isclass(found) else ""
