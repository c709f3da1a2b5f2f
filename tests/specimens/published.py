"""The published patterns that the binding of this repository comes from."""

from tests.specimens.bindings import Specimen, published, today

SPECIMENS = {
    "pattern_2010": Specimen(
        "The newest engine serves all apps; sessions have no listeners and create_session's defaults.",
        met="the snippet itself, with the remarks of Amit Matani (2012) and sebastianmarkow (2012)",
        caught_by=(
            "binding.two-apps",
            "promises.several-engines",
            "promises.unbound",
            "promises.listeners",
            "promises.defaults",
        ),
        wrong=published("pattern_2010"),
        corrected=today,
    ),
    "pattern_2010_on_the_app": Specimen(
        "The thread's session outlives the context of its app; outside contexts there is no session.",
        met="the snippet's own comment: 'attach the database engine to the application'",
        caught_by=("binding.app-inside-app", "promises.outside-contexts", "promises.unwrapped-stream"),
        wrong=published("pattern_2010_on_the_app"),
        corrected=today,
    ),
    "configure_after_remove": Specimen(
        "remove() ends the session that the caller still uses; other threads keep the old engine.",
        met="a comment on the snippet; Pylons/webtest#5",
        caught_by=("binding.second-app", "promises.rebinding", "promises.rebinding-in-a-block"),
        wrong=published("configure_after_remove"),
        corrected=today,
    ),
}
