"""The app and the session of the specimen that `SPECIMEN` names, for the battery.

With `SPECIMEN_CORRECTED` in the environment they are those of its corrected twin; a sound binding has none.
"""

import os

from tests.specimens.catalogue import SOUND, SPECIMENS

name = os.environ["SPECIMEN"]
if name in SOUND:
    binding = SOUND[name].build()
else:
    binding = SPECIMENS[name].corrected() if "SPECIMEN_CORRECTED" in os.environ else SPECIMENS[name].wrong()
session, create_app = binding.session, binding.create_app
if binding.metadata is not None:
    metadata = binding.metadata
if binding.init_engine:
    init_engine = binding.init_engine
