"""Check a Flask app for the known mistakes in its use of SQLAlchemy.

flask testbed
pytest --pyargs flask_sqlalchemy_testbed.battery --testbed-app app:create_app

The command reads no configuration of the project. pytest reads its configuration file and the conftest.py
files that it finds, as for any tests: those of the working directory, and those of the folders above the
environment that the battery is installed in.
"""
