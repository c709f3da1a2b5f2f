"""The app and the session of the specimen that `SPECIMEN` names, for the battery.

With `SPECIMEN_CORRECTED` in the environment they are those of its corrected twin.
"""

import os

from tests.specimens.catalogue import SPECIMENS

specimen = SPECIMENS[os.environ["SPECIMEN"]]
binding = specimen.corrected() if "SPECIMEN_CORRECTED" in os.environ else specimen.wrong()
session, create_app = binding.session, binding.create_app
if binding.init_engine:
    init_engine = binding.init_engine
